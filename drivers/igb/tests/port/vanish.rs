//! A device that is gone from its n-th register access on, for every n: an error that says so or a clean end, no
//! panic, no endless wait, and nothing freed under it.

use std::sync::Arc;
use std::time::Duration;

use pmd_igb::rss::RssConfig;
use pmd_igb::{Config, Probed, Running, Started, StopFailed};
use vfio_hal::dma::DmaError;
use vfio_hal::dma::pool::Burst;
use vfio_hal::irq::IrqSink;
use vfio_hal::pci::ConfigError;
use vfio_hal::pmd::{FlowControl, MacAddr, PortError};
use vfio_hal::ring::{RxError, TxError};
use vfio_hal::wrap::Faults;
use vfio_hal::{Clock, DeviceError};

use crate::board::{Board, queues};

struct Nobody;

impl IrqSink for Nobody {
    fn fire(&self) {}
}

fn is_lost(error: PortError) -> bool {
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
    port.set_vlan_strip(true).map_err(|error| ("VLAN strip", error))?;
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
    port.dump_registers(&mut |_, _, _| ()).map_err(|error| ("register dump", error))?;
    port.inspect().nvm_version().map_err(|error| ("NVM version", error))?;
    port.inspect().part_number().map_err(|error| ("part number", error))?;
    port.inspect().negotiation().map_err(|error| ("negotiation", error))?;
    Ok(())
}

fn restart_queues(started: &mut Started) -> Result<(), (&'static str, PortError)> {
    let (rx, tx) = (&mut started.rx[0], &mut started.tx[0]);
    rx.set_vlan_strip(true).map_err(|error| ("VLAN strip of a queue", error))?;
    rx.arm().map_err(|error| ("arm", error))?;
    rx.disarm().map_err(|error| ("disarm", error))?;
    rx.stop().map_err(|error| ("stop of a receive queue", error))?;
    rx.start().map_err(|error| ("start of a receive queue", error))?;
    tx.stop().map_err(|error| ("stop of a transmit queue", error))?;
    tx.start().map_err(|error| ("start of a transmit queue", error))?;
    Ok(())
}

fn life(board: &Board) -> End {
    let lost = |what, error| {
        assert!(is_lost(error), "{what}: {error}");
        End::Lost(what)
    };
    let probed = match Probed::new(board.device.clone(), board.clock.clone()) {
        Ok(probed) => probed,
        Err(error) => return lost("probe", error),
    };
    let config = Config { rss: Some(RssConfig::default()), ..queues(2, 2) };
    let configured = match probed.configure(&board.space, &board.pool, config) {
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
    board.link_up();
    let mut end = End::Whole;
    if let Err((what, error)) = control(&mut started.port) {
        end = lost(what, error);
    }
    let (mut cache, mut burst) = (board.pool.cache(), Burst::new(32));
    for number in 0..40 {
        board.receive(0, &[number; 64], 2048, [0, 0]);
    }
    for _ in 0..3 {
        for rx in &mut started.rx {
            if let Err(error) = rx.rx_burst(&mut cache, &mut burst) {
                assert_eq!(error, RxError::Lost);
            }
        }
        if let Err(error) = started.tx[0].tx_burst(&mut cache, &mut burst) {
            assert_eq!(error, TxError::Lost);
            cache.free_all(&mut burst);
        }
    }
    cache.free_all(&mut burst);
    board.transmit(0);
    if let Err((what, error)) = restart_queues(&mut started) {
        let here = lost(what, error);
        end = if end == End::Whole { here } else { end };
    }
    drop(cache);
    if let Err(failed) = started.port.stop(started.rx, started.tx) {
        assert!(matches!(failed.back, StopFailed::Stopped(_)));
        let here = lost("stop", failed.error);
        end = if end == End::Whole { here } else { end };
    }
    end
}

#[test]
fn it_may_vanish_at_any_moment_of_a_life() {
    // All of them take minutes without optimization.
    let step = if cfg!(debug_assertions) { 61 } else { 1 };
    let mut places = Vec::new();
    for accesses in (0..).step_by(step) {
        let board = Board::new();
        board.faults.set(Faults::new().die_after(accesses));
        let end = life(&board);
        assert!(
            board.clock.now() < Duration::from_secs(60),
            "{accesses}: it waited for a device that was gone"
        );
        assert_eq!(end == End::Whole, !board.device.lost().is_lost(), "{accesses}: {end:?}");
        let (home, given_up) = (board.pool.available(), board.pool.leaked());
        assert_eq!(home + given_up, board.pool.capacity(), "{accesses}: {end:?}");
        match end {
            End::Whole => {
                board.assert_home();
                assert!(accesses > 1000, "{accesses}");
                break;
            }
            End::Lost(place) => {
                if matches!(place, "probe" | "configure") {
                    assert_eq!(given_up, 0, "{accesses}: the device never had a buffer");
                }
                if !places.contains(&place) {
                    places.push(place);
                }
            }
        }
    }
    // The calls that make many accesses.
    for place in ["probe", "start", "stats", "RSS", "RSS table", "register dump", "stop"] {
        assert!(places.contains(&place), "{place} is not among {places:?}");
    }
    if step == 1 {
        assert!(places.len() > 30, "{places:?}");
    }
}
