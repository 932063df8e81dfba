//! A device that is gone from its n-th register access on, for every n: an error that says so or a clean end, no
//! panic, no endless wait, and nothing freed under it.

use std::sync::Arc;
use std::time::Duration;

use pmd_ixgbe::rss::RssConfig;
use pmd_ixgbe::{Config, Probed, Running, Started, StopFailed};
use pmd_ixgbe_model::Part;
use vfio_hal::dma::pool::Burst;
use vfio_hal::irq::IrqSink;
use vfio_hal::pmd::{FlowControl, MacAddr, PortError};
use vfio_hal::ring::{RxError, TxError};
use vfio_hal::wrap::Faults;
use vfio_hal::{Clock, DeviceError};

use crate::frames::Frame;
use crate::rig::{Rig, model_config, queues};

struct Nobody;

impl IrqSink for Nobody {
    fn fire(&self) {}
}

fn is_lost(error: PortError) -> bool {
    use vfio_hal::dma::DmaError;
    use vfio_hal::pci::ConfigError;
    matches!(
        error,
        PortError::Device(DeviceError::Lost)
            | PortError::Config(ConfigError::Device(DeviceError::Lost))
            | PortError::Dma(DmaError::Device(DeviceError::Lost))
    )
}

/// How far the port came.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Whole,
    Lost(&'static str),
}

fn config() -> Config {
    Config { rss: Some(RssConfig::default()), ..queues(2, 2) }
}

/// Every control call there is. Returns the first that failed.
fn control(port: &mut Running) -> Result<(), (&'static str, PortError)> {
    let mac = |last| MacAddr([2, 0, 0, 0, 0, last]);
    port.info();
    port.link().map_err(|error| ("link", error))?;
    port.wait_for_link(Duration::from_millis(50)).map_err(|error| ("wait for link", error))?;
    port.service_link().map_err(|error| ("service link", error))?;
    port.stats().map_err(|error| ("stats", error))?;
    port.xstats(&mut |_, _| ()).map_err(|error| ("xstats", error))?;
    port.reset_stats().map_err(|error| ("reset stats", error))?;
    port.set_promiscuous(true).map_err(|error| ("promiscuous", error))?;
    port.set_all_multicast(true).map_err(|error| ("all multicast", error))?;
    port.set_mac(mac(7)).map_err(|error| ("set MAC", error))?;
    port.add_mac(mac(8)).map_err(|error| ("add MAC", error))?;
    port.remove_mac(mac(8)).map_err(|error| ("remove MAC", error))?;
    port.set_multicast(&[MacAddr([1, 0, 0x5e, 0, 0, 1])]).map_err(|error| ("multicast", error))?;
    port.set_vlan_filter(true).map_err(|error| ("VLAN filter", error))?;
    port.set_vlan(5, true).map_err(|error| ("VLAN", error))?;
    port.set_mtu(9000).map_err(|error| ("MTU", error))?;
    port.set_flow_control(FlowControl::Full).map_err(|error| ("flow control", error))?;
    port.set_drop_enable(Some(true)).map_err(|error| ("drop enable", error))?;
    port.set_rss(&RssConfig::default()).map_err(|error| ("RSS", error))?;
    port.rss_types().map_err(|error| ("RSS types", error))?;
    port.rss_key().map_err(|error| ("RSS key", error))?;
    port.rss_table().map_err(|error| ("RSS table", error))?;
    port.update_rss_table(3, &[1, 0]).map_err(|error| ("update of the RSS table", error))?;
    port.set_rx_interrupt(1, Some(Arc::new(Nobody))).map_err(|error| ("receive interrupt", error))?;
    port.set_link_interrupt(Some(Arc::new(Nobody))).map_err(|error| ("link interrupt", error))?;
    port.inspect().nvm_version().map_err(|error| ("NVM version", error))?;
    port.inspect().part_number().map_err(|error| ("part number", error))?;
    Ok(())
}

/// Every call of a queue that speaks to the device.
fn restart_queues(started: &mut Started) -> Result<(), (&'static str, PortError)> {
    let (rx, tx) = (&mut started.rx[0], &mut started.tx[0]);
    rx.set_vlan_strip(true).map_err(|error| ("VLAN strip", error))?;
    rx.arm().map_err(|error| ("arm", error))?;
    rx.disarm().map_err(|error| ("disarm", error))?;
    rx.stop().map_err(|error| ("stop of a receive queue", error))?;
    rx.start().map_err(|error| ("start of a receive queue", error))?;
    tx.stop().map_err(|error| ("stop of a transmit queue", error))?;
    tx.start().map_err(|error| ("start of a transmit queue", error))?;
    Ok(())
}

fn life(rig: &mut Rig) -> End {
    let lost = |what, error| {
        assert!(is_lost(error), "{what}: {error}");
        End::Lost(what)
    };
    let probed = match Probed::new(rig.device.clone(), rig.clock.clone()) {
        Ok(probed) => probed,
        Err(error) => return lost("probe", error),
    };
    let configured = match probed.configure(&rig.space, &rig.pool, config()) {
        Ok(configured) => configured,
        Err(failed) => return lost("configure", failed.error),
    };
    let mut started = match configured.start() {
        Ok(started) => started,
        Err(failed) => {
            // What failed once for want of a device fails again, and does not wait for it.
            assert!(is_lost(failed.back.start().unwrap_err().error));
            return lost("start", failed.error);
        }
    };
    let mut end = End::Whole;
    if let Err((what, error)) = control(&mut started.port) {
        end = lost(what, error);
    }
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(32);
    for number in 0..70 {
        rig.inject(&Frame::numbered(64, number));
    }
    rig.stepper.run_until_idle(100);
    for _ in 0..4 {
        for rx in &mut started.rx {
            match rx.rx_burst(&mut cache, &mut burst) {
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error, RxError::Lost);
                    assert!(rig.device.lost().is_lost());
                }
            }
        }
        match started.tx[0].tx_burst(&mut cache, &mut burst) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, TxError::Lost);
                assert!(rig.device.lost().is_lost());
                cache.free_all(&mut burst);
            }
        }
        started.tx[1].reap(&mut cache);
        rig.stepper.run_until_idle(100);
    }
    cache.free_all(&mut burst);
    if let Err((what, error)) = restart_queues(&mut started) {
        let here = lost(what, error);
        end = if end == End::Whole { here } else { end };
    }
    drop(cache);
    match started.port.stop(started.rx, started.tx) {
        Ok(configured) => drop(configured),
        Err(failed) => {
            assert!(matches!(failed.back, StopFailed::Stopped(_)));
            let here = lost("stop", failed.error);
            end = if end == End::Whole { here } else { end };
        }
    }
    end
}

/// One life with a device that dies after `accesses`. Returns how it ended.
fn die_after(part: Part, accesses: u64) -> End {
    let mut config = model_config();
    config.part = part;
    let mut rig = Rig::with(config, 1024);
    rig.faults.set(Faults::new().die_after(accesses));
    let end = life(&mut rig);
    assert!(rig.clock.now() < Duration::from_secs(60), "{accesses}: it waited for a device that was gone");
    assert_eq!(end == End::Whole, !rig.device.lost().is_lost(), "{accesses}: {end:?}");
    let (home, given_up) = (rig.pool.available(), rig.pool.leaked());
    assert_eq!(home + given_up, rig.pool.capacity(), "{accesses}: {end:?}");
    if end == End::Whole {
        rig.assert_home();
    }
    if matches!(end, End::Lost("probe" | "configure")) {
        assert_eq!(given_up, 0, "{accesses}: the device never had a buffer");
    }
    end
}

/// Goes through all moments of death in steps, until a life is whole. Returns how many accesses it takes and in which
/// calls devices died.
fn all_deaths(part: Part, step: usize) -> (u64, Vec<&'static str>) {
    let mut places = Vec::new();
    for accesses in (0..).step_by(step) {
        match die_after(part, accesses) {
            End::Whole => return (accesses, places),
            End::Lost(place) if !places.contains(&place) => places.push(place),
            End::Lost(_) => {}
        }
    }
    unreachable!("a life has an end")
}

#[test]
fn it_may_vanish_at_any_moment_of_a_life() {
    // All of them take minutes without optimization.
    let step = if cfg!(debug_assertions) { 29 } else { 1 };
    let (accesses, places) = all_deaths(Part::BackplaneKx4, step);
    assert!(accesses > 1000, "{accesses}");
    let all = [
        "probe",
        "start",
        "link",
        "stats",
        "xstats",
        "reset stats",
        "promiscuous",
        "all multicast",
        "set MAC",
        "add MAC",
        "remove MAC",
        "multicast",
        "VLAN filter",
        "VLAN",
        "MTU",
        "flow control",
        "drop enable",
        "RSS",
        "RSS types",
        "RSS key",
        "RSS table",
        "update of the RSS table",
        "link interrupt",
        "NVM version",
        "part number",
        "VLAN strip",
        "arm",
        "disarm",
        "stop of a receive queue",
        "start of a receive queue",
        "stop of a transmit queue",
        "start of a transmit queue",
        "stop",
    ];
    // The calls that make many accesses, or all of them.
    let least = if step == 1 { &all[..] } else { &["probe", "start", "stats", "RSS", "RSS table", "stop"] };
    for place in least {
        assert!(places.contains(place), "{place} is not among {places:?}");
    }
}

#[test]
fn it_may_vanish_while_it_talks_to_its_module() {
    let step = if cfg!(debug_assertions) { 4001 } else { 503 };
    let (accesses, places) = all_deaths(Part::Sfp, step);
    assert!(accesses > 1000 && places.contains(&"start"), "{accesses}: {places:?}");
}

#[test]
fn buffers_and_rings_of_a_device_that_vanished_under_traffic_are_given_up() {
    let rig = Rig::new();
    let mut started = rig.start(queues(1, 1));
    rig.send(&mut started.tx[0], (0..20).map(|number| rig.buf(&Frame::numbered(64, number))));
    rig.model.kill();
    let before = rig.clock.now();
    let mut cache = rig.pool.cache();
    let mut burst = Burst::new(32);
    assert_eq!(started.rx[0].rx_burst(&mut cache, &mut burst), Err(RxError::Lost));
    burst.push(rig.buf(&[0; 64])).unwrap();
    assert_eq!(started.tx[0].tx_burst(&mut cache, &mut burst), Err(TxError::Lost));
    assert_eq!(burst.len(), 1, "the packet is still the caller's");
    assert!(is_lost(started.port.link().unwrap_err()));
    burst.clear();
    drop(cache);
    let failed = started.port.stop(started.rx, started.tx).unwrap_err();
    assert!(is_lost(failed.error));
    assert!(rig.clock.now() - before < Duration::from_secs(1));
    assert_eq!(rig.pool.leaked(), 64 + 20);
    assert_eq!(rig.pool.available() + rig.pool.leaked(), rig.pool.capacity());
    drop(failed);
    // Nobody can ask the device to let go of the rings' memory.
    assert_eq!(rig.space.stats().leaked_regions, 1);
    assert!(rig.space.stats().leaked_bytes >= 2 * 64 * 16);
}
