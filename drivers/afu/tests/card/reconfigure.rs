//! Partial reconfiguration, and the files for it.

use std::sync::Arc;
use std::time::Duration;

use pmd_afu::gbs::{Builder, Gbs};
use pmd_afu::guid::Uuid;
use pmd_afu::{AfuError, PrError, Progress, Sharing, guid};
use pmd_afu_model::{AfuKind, Config, Timing, bitstream};

use vfio_hal::wrap::{FaultInjector, Faults};
use vfio_hal::{Clock, DeviceError};

use crate::bench::Bench;

fn file(interface: Uuid, afu: Uuid) -> Vec<u8> {
    Builder::new(interface)
        .accelerator("new", afu)
        .clocks(200.0, 100.0)
        .build(&bitstream::build(interface, afu, 65536))
}

#[test]
fn a_port_gets_another_accelerator() {
    let bench = Bench::new(Config::with_ports(&[AfuKind::Nlb0, AfuKind::Nlb0]));
    let (card, interface) = (bench.card(), Config::default().interface_id);
    let fme = card.fme().unwrap();
    let bytes = file(interface, guid::HE_LBK);
    let gbs = Gbs::parse(&bytes).unwrap();
    assert_eq!(gbs.clocks().low_mhz(), Some(100));
    let mut last = None;
    fme.reconfigure(1, &gbs, |progress| last = Some(progress)).unwrap();
    let total = gbs.data().len();
    assert_eq!(last, Some(Progress { done: total, total }));
    let guids: Vec<_> = card.accelerators().iter().map(|afu| afu.guid.unwrap()).collect();
    assert_eq!(guids, [guid::NLB0, guid::HE_LBK]);
    let afu = card.open_afu(guid::HE_LBK, Sharing::Exclusive).unwrap();
    assert_eq!(afu.port().unwrap().number(), 1);
    let mhz = gbs.clocks().low_mhz().unwrap();
    assert_eq!(afu.port().unwrap().user_clock().unwrap().set(mhz).unwrap().low, 100_000_000);
    let busy = fme.reconfigure(1, &gbs, |_| ()).unwrap_err();
    assert_eq!(busy, AfuError::InUse { port: 1, users: 1 });
    assert_eq!(fme.reconfigure(7, &gbs, |_| ()).unwrap_err(), AfuError::NoPort { port: 7 });
}

#[test]
fn a_foreign_bitstream_is_refused_before_and_by_the_engine() {
    let bench = Bench::new(Config::default());
    let (card, interface) = (bench.card(), Config::default().interface_id);
    let fme = card.fme().unwrap();
    let foreign = file(guid::DUMMY, guid::HE_LBK);
    let refused = fme.reconfigure(0, &Gbs::parse(&foreign).unwrap(), |_| ()).unwrap_err();
    assert_eq!(refused, PrError::InterfaceId { card: interface, bitstream: guid::DUMMY }.into());
    assert!(!card.port(0).unwrap().is_in_reset());
    assert_eq!(card.accelerators()[0].guid, Some(guid::NLB0));

    // Metadata that lie: the engine sees the data.
    let lying = Builder::new(interface).build(&bitstream::build(guid::DUMMY, guid::HE_LBK, 4096));
    let refused = fme.reconfigure(0, &Gbs::parse(&lying).unwrap(), |_| ()).unwrap_err();
    assert!(matches!(refused, AfuError::Pr(PrError::Engine(errors)) if errors.incompatible), "{refused}");
    let mut damaged = bitstream::build(interface, guid::HE_LBK, 4096);
    damaged[1000] ^= 4;
    let damaged = Builder::new(interface).build(&damaged);
    let refused = fme.reconfigure(0, &Gbs::parse(&damaged).unwrap(), |_| ()).unwrap_err();
    assert!(matches!(refused, AfuError::Pr(PrError::Engine(errors)) if errors.crc), "{refused}");
    let short = bitstream::build(interface, guid::HE_LBK, 4096);
    let short = Builder::new(interface).build(&short[..1024]);
    let refused = fme.reconfigure(0, &Gbs::parse(&short).unwrap(), |_| ()).unwrap_err();
    assert!(matches!(refused, AfuError::Pr(PrError::Engine(_))), "{refused}");

    // The card is usable afterwards.
    let good = file(interface, guid::HE_MEM);
    fme.reconfigure(0, &Gbs::parse(&good).unwrap(), |_| ()).unwrap();
    card.open_afu(guid::HE_MEM, Sharing::Exclusive).unwrap();
    bench.pass(Duration::from_millis(1));
}

#[test]
fn an_engine_that_does_not_answer_is_given_eight_seconds() {
    // Where the model has the engine's registers, and bits of them that never change.
    const ENGINE: u64 = 0x5000;
    let interface = Config::default().interface_id;
    let bytes = file(interface, guid::HE_LBK);
    let gbs = Gbs::parse(&bytes).unwrap();
    for (register, mask, value, says) in
        [(0x08, 1 << 4, 0, "reset"), (0x10, 1 << 16, 1 << 16, "idle"), (0x10, 0x1ff, 1, "credit")]
    {
        let bench = Bench::new(Config::default());
        let faults = Faults::new().stuck(0, ENGINE + register, mask, value);
        let injector = Arc::new(FaultInjector::new(bench.device.clone(), faults));
        let card = bench.open_as(injector.clone()).unwrap();
        let fme = card.fme().unwrap();
        let before = bench.clock.now();
        late(fme.reconfigure(0, &gbs, |_| ()), says);
        assert!(bench.clock.now() - before < Duration::from_secs(9), "{says}");
        assert!(!card.port(0).unwrap().is_in_reset(), "released all the same");
        // Intact again, the same card takes the bitstream.
        injector.set(Faults::new());
        fme.reconfigure(0, &gbs, |_| ()).unwrap();
        card.open_afu(guid::HE_LBK, Sharing::Exclusive).unwrap();
    }

    // The data are in, and the engine works on them for an hour.
    let timing = Timing { pr_load: Duration::from_secs(3600), ..Timing::default() };
    let bench = Bench::new(Config { timing, ..Config::default() });
    let card = bench.card();
    late(card.fme().unwrap().reconfigure(0, &gbs, |_| ()), "completion");
    assert!(!card.port(0).unwrap().is_in_reset());
}

fn late(result: Result<(), AfuError>, says: &str) {
    match result.unwrap_err() {
        AfuError::Device(DeviceError::Timeout { what, millis: 8000 }) => {
            assert!(what.contains(says), "{what}")
        }
        error => panic!("{says}: {error}"),
    }
}
