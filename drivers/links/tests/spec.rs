//! The command line's words for links: what they mean, and what is said to those that mean nothing.

use std::path::PathBuf;

use pmd_links::{
    CaptureFormat, Faults, FrameSize, GeneratorConfig, ImpairConfig, Kind, Link, LinkError, LinkStatus,
    PacketSocketConfig, PatchPanel, PauseCycle, Probability, Replay, Sent, Spec, SpecError, TapConfig, Vdev,
};
use proptest::prelude::*;
use tempfile::TempDir;

fn kind(text: &str) -> Kind {
    let spec: Spec = text.parse().unwrap();
    assert_eq!((spec.impair, spec.tee), (None, None));
    spec.kind
}

fn error(text: &str) -> String {
    let text = text.parse::<Spec>().expect_err(text).to_string();
    assert!(!text.contains('\n'), "{text}");
    text
}

#[test]
fn every_kind_is_understood() {
    let defaults = GeneratorConfig::default();
    assert_eq!(kind("gen"), Kind::Generate { config: defaults, verify: true });
    let config = GeneratorConfig {
        size: FrameSize::Imix,
        flows: 16,
        rate: Some(1_500_000),
        count: Some(10_000),
        vlan: Some(100),
        destination: [0x02, 0xab, 0, 0, 0, 0xff],
        source: [1, 2, 3, 4, 5, 6],
    };
    assert_eq!(
        kind(
            "gen,size=imix,flows=16,rate=1.5M,count=10k,vlan=100,dst=02:AB:00:00:00:ff,src=1-2-3-4-5-6,verify=0"
        ),
        Kind::Generate { config, verify: false }
    );
    assert_eq!(kind("sink"), Kind::Sink { verify: false });
    assert_eq!(kind("sink,verify"), Kind::Sink { verify: true });
    let pcap = |rx: Option<&str>, tx: Option<&str>, replay, microseconds| Kind::Pcap {
        rx: rx.map(PathBuf::from),
        tx: tx.map(PathBuf::from),
        replay,
        format: CaptureFormat { microseconds, ..Default::default() },
    };
    assert_eq!(kind("pcap,rx=a.pcap"), pcap(Some("a.pcap"), None, Replay::default(), false));
    assert_eq!(
        kind("pcap,rx=a=b.pcap,tx=/tmp/x y,loop,paced=1,cut=no,us=on"),
        pcap(Some("a=b.pcap"), Some("/tmp/x y"), Replay { looped: true, paced: true, cut: false }, true)
    );
    assert_eq!(kind("tap,iface=t0"), Kind::Tap(TapConfig { name: "t0".into(), up: true, mtu: None }));
    assert_eq!(
        kind("tap, iface = t0 , mtu = 9000, down"),
        Kind::Tap(TapConfig { name: "t0".into(), up: false, mtu: Some(9_000) })
    );
    assert_eq!(
        kind("iface,name=eth0"),
        Kind::Interface(PacketSocketConfig { name: "eth0".into(), promiscuous: true })
    );
    assert_eq!(
        kind("iface,name=eth0,promisc=0"),
        Kind::Interface(PacketSocketConfig { name: "eth0".into(), promiscuous: false })
    );
    assert_eq!(kind("loop"), Kind::Loopback { depth: 1_024 });
    assert_eq!(kind("pair,id=x,depth=8"), Kind::Pair { id: "x".into(), depth: 8 });
}

#[test]
fn the_cable_is_understood() {
    let chance = |p| Probability::new(p).unwrap();
    let spec: Spec =
        "loop,loss=0.01,reorder=2%,dup=1,corrupt=0,seed=9,gap=7,hold=2ms,tee=x.pcap".parse().unwrap();
    let faults =
        Faults { loss: chance(0.01), reorder: chance(0.02), duplicate: chance(1.0), corrupt: chance(0.0) };
    let config = ImpairConfig { tx: faults, rx: faults, pause: None, depth: 7, hold: 2_000_000, seed: 9 };
    assert_eq!(
        spec,
        Spec { kind: Kind::Loopback { depth: 1_024 }, impair: Some(config), tee: Some("x.pcap".into()) }
    );

    let impair = |text: &str| text.parse::<Spec>().unwrap().impair.unwrap();
    assert_eq!(impair("sink,loss=1,dir=rx").tx, Faults::default());
    assert_eq!(impair("sink,loss=1,dir=tx").rx, Faults::default());
    assert_eq!(impair("sink,loss=1,dir=both").rx.loss, chance(1.0));
    let pause = |text: &str| impair(&format!("sink,pause={text}")).pause.unwrap();
    assert_eq!(
        pause("1ms/10ms"),
        PauseCycle { first: 10_000_000, length: 1_000_000, every: Some(10_000_000) }
    );
    assert_eq!(pause("5us@1.5s"), PauseCycle { first: 1_500_000_000, length: 5_000, every: None });
    assert_eq!(pause("1µs/2µs@0ns"), PauseCycle { first: 0, length: 1_000, every: Some(2_000) });
    // A seed alone spoils nothing.
    assert_eq!("loop,seed=4".parse::<Spec>().unwrap().impair, None);
}

#[test]
fn what_is_not_understood_is_answered_with_what_is() {
    assert_eq!(error("tun"), "there is no link \"tun\": use gen, sink, pcap, tap, iface, loop, pair");
    assert_eq!(error(""), "there is no link \"\": use gen, sink, pcap, tap, iface, loop, pair");
    assert_eq!(
        error("loop,size=64"),
        "loop has no option \"size\": use depth, loss, reorder, dup, corrupt, dir, seed, gap, hold, pause, tee"
    );
    assert_eq!(error("gen,"), error("gen,=5").replace("\"=5\"", "\"\""));
    assert_eq!(error("gen,size=64,size=65"), "gen has the option size twice: give it once");
    assert_eq!(error("tap"), "tap needs the option iface: add iface=NAME");
    assert_eq!(error("tap,iface="), "\"\" is no value for iface: use iface=NAME");
    assert_eq!(error("iface"), "iface needs the option name: add name=NAME");
    assert_eq!(error("pair"), "pair needs the option id: add id=0");
    assert_eq!(error("pcap,loop"), "pcap needs the option rx or tx: add rx=IN.pcap, tx=OUT.pcap or both");
    for (text, answer) in [
        ("gen,size=big", "\"big\" is no value for size: use 64 to 16384 bytes (FCS included), or imix"),
        ("gen,size=63", "frames of 63 bytes cannot be generated: use 64 to 16384 (FCS included), or imix"),
        ("gen,size=70000", "\"70000\" is no value for size: use 64 to 16384 bytes (FCS included), or imix"),
        ("gen,flows=0", "0 flows cannot be generated: use 1 to 65535"),
        ("gen,flows=-1", "\"-1\" is no value for flows: use 1 to 65535"),
        (
            "gen,rate=0",
            "a rate of 0 frames a second cannot be kept: use 1 to 1000000000 (1G), or none for full speed",
        ),
        ("gen,rate=1.0000001k", "\"1.0000001k\" is no value for rate: use 1 to 1G frames a second"),
        ("gen,rate", "\"\" is no value for rate: use 1 to 1G frames a second"),
        ("gen,vlan=4095", "there is no VLAN 4095: use 0 to 4094"),
        (
            "gen,dst=02:00:00:00:00",
            "\"02:00:00:00:00\" is no value for dst: use a MAC address such as 02:00:00:00:00:01",
        ),
        ("gen,verify=maybe", "\"maybe\" is no value for verify: use 0 or 1"),
        ("loop,loss=1.5", "\"1.5\" is no value for loss: use a probability from 0 to 1, or in percent (1%)"),
        ("loop,dup=nan", "\"nan\" is no value for dup: use a probability from 0 to 1, or in percent (1%)"),
        ("loop,dir=up", "\"up\" is no value for dir: use rx, tx or both"),
        ("loop,gap=0", "\"0\" is no value for gap: use 1 to 4294967295 frames"),
        ("loop,hold=5", "\"5\" is no value for hold: use a time such as 1ms"),
        (
            "loop,pause=1ms",
            "\"1ms\" is no value for pause: use a time, how often and when first, such as 1ms/10ms or 5ms@1s",
        ),
        (
            "loop,pause=9ms/9ms",
            "\"9ms/9ms\" is no value for pause: use a time, how often and when first, such as 1ms/10ms or 5ms@1s",
        ),
        ("loop,depth=0", "\"0\" is no value for depth: use 1 to 65536 frames"),
        ("tap,iface=t,mtu=67", "\"67\" is no value for mtu: use 68 to 65521 bytes"),
    ] {
        assert_eq!(error(text), answer);
    }
}

#[test]
fn every_option_is_in_the_help() {
    for text in ["gen,?", "sink,?", "pcap,?", "tap,?", "iface,?", "loop,?", "pair,?"] {
        let error = error(text);
        for option in error.split_once(": use ").unwrap().1.split(", ") {
            assert!(Spec::HELP.split(|c: char| !c.is_alphanumeric()).any(|word| word == option), "{option}");
        }
    }
}

#[test]
fn devices_are_understood() {
    const OWN: &[&str] = &["queues", "mac"];
    let vdev = |text: &str| Vdev::parse(text, OWN).unwrap_or_else(|error| panic!("{text}: {error}"));
    let spec = |text: &str| Some(text.parse::<Spec>().unwrap());

    let port = vdev("net_ixgbe0,queues=4,link=tap,iface=t0,loss=1%,mac");
    assert_eq!(port.name, "net_ixgbe0");
    assert_eq!(port.options, [("queues".into(), Some("4".into())), ("mac".into(), None)]);
    assert_eq!(port.link, spec("tap,iface=t0,loss=1%"));
    assert_eq!(vdev("net_ixgbe0").link, None);
    assert_eq!(vdev("net_ixgbe0,mac=1").link, None);
    assert_eq!(vdev("net_ixgbe1,link=gen,size=imix").link, spec("gen,size=imix"));

    assert_eq!(vdev("net_tap0").link, spec("tap,iface=dtap0"));
    assert_eq!(vdev("net_tap12,iface=foo,mtu=9000").link, spec("tap,iface=foo,mtu=9000"));
    assert_eq!(vdev("net_pcap0,rx_pcap=a,tx_pcap=b").link, spec("pcap,rx=a,tx=b"));
    assert_eq!(vdev("net_pcap0,rx_pcap=a,infinite_rx=1,queues=1").link, spec("pcap,rx=a,loop"));
    assert_eq!(vdev("net_pcap0,iface=eth0").link, spec("iface,name=eth0"));
    assert_eq!(vdev("net_af_packet0,iface=eth0").link, spec("iface,name=eth0"));

    let error = |text: &str| Vdev::parse(text, OWN).expect_err(text).to_string();
    assert_eq!(error("net_ixgbe0,iface=t0"), "net_ixgbe0 has no option \"iface\": use link, queues, mac");
    assert_eq!(error("net_ixgbe0,mac=1,mac=2"), "net_ixgbe0 has the option mac twice: give it once");
    assert_eq!(error("net_ixgbe0,link"), "\"\" is no value for link: use a link such as link=gen");
    assert_eq!(
        error("net_ixgbe0,link=cable"),
        "there is no link \"cable\": use gen, sink, pcap, tap, iface, loop, pair"
    );
    assert!(
        error("net_tap0,remote=x")
            .starts_with("net_tap0 has no option \"remote\": use iface, mtu, down, loss")
    );
    assert!(error("net_tap0,remote=x").ends_with(", queues, mac"));
    assert_eq!(error("net_tap0,iface"), "\"\" is no value for iface: use iface=NAME");
    for nameless in ["", ",link=gen", "link=gen"] {
        assert!(
            error(nameless).contains("use a device name first, such as net_ixgbe0,link=gen"),
            "{nameless}"
        );
    }
}

#[test]
fn what_is_described_can_be_opened_and_watched() {
    let mut panel = PatchPanel::new();
    let mut opened = panel.open(&"gen,count=1000,flows=4,loss=0.1,dir=rx".parse().unwrap()).unwrap();
    let mut frame = Vec::new();
    while !opened.link.exhausted() {
        if opened.link.receive(&mut frame, 0).unwrap() {
            assert_eq!(opened.link.transmit(&frame, 0).unwrap(), Sent::Accepted);
        }
    }
    let (traffic, verdict) = (opened.traffic.get(), opened.verdict.unwrap().get());
    let lost = opened.impairments.unwrap().get().rx_lost;
    assert!((50..150).contains(&lost), "{lost}");
    assert_eq!((traffic.rx_frames, traffic.tx_frames), (1_000 - lost, 1_000 - lost));
    assert_eq!((verdict.good, verdict.missing(1_000)), (1_000 - lost, lost));

    // By hand.
    opened.pause.as_ref().unwrap().set(true);
    assert_eq!(opened.link.transmit(&frame, 0).unwrap(), Sent::Busy);
    assert_eq!(opened.traffic.get().tx_busy, 1);

    let sink = panel.open(&"sink".parse().unwrap()).unwrap();
    assert!(
        sink.link.exhausted() && sink.verdict.is_some() && sink.impairments.is_none() && sink.drops.is_none()
    );
}

#[test]
fn captures_in_and_out_are_composed() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let mut panel = PatchPanel::new();
    let mut frame = Vec::new();

    // Generated frames, with a capture of them and of what is sent back.
    let mut link = panel.open(&format!("gen,count=7,tee={}", path("tee")).parse().unwrap()).unwrap().link;
    while link.receive(&mut frame, 5).unwrap() {
        assert_eq!(link.transmit(&frame, 5).unwrap(), Sent::Accepted);
    }
    link.flush().unwrap();

    let text = format!("pcap,rx={},tx={}", path("tee"), path("out"));
    let mut link = panel.open(&text.parse().unwrap()).unwrap().link;
    let mut count = 0;
    while link.receive(&mut frame, 0).unwrap() {
        assert_eq!(link.transmit(&frame, 0).unwrap(), Sent::Accepted);
        count += 1;
    }
    link.flush().unwrap();
    assert_eq!(count, 14);

    // What is sent where no capture is written is still counted.
    let mut opened = panel.open(&format!("pcap,rx={}", path("out")).parse().unwrap()).unwrap();
    while opened.link.receive(&mut frame, 0).unwrap() {
        assert_eq!(opened.link.transmit(&frame, 0).unwrap(), Sent::Accepted);
    }
    assert_eq!(opened.verdict.unwrap().get().frames, 14);
    let mut writer = panel.open(&format!("pcap,tx={}", path("only")).parse().unwrap()).unwrap();
    assert!(!writer.link.receive(&mut frame, 0).unwrap() && writer.verdict.is_none());

    let missing = panel.open(&format!("pcap,rx={}", path("missing")).parse().unwrap()).unwrap_err();
    assert!(matches!(missing, LinkError::Pcap(_)), "{missing}");
}

/// The whole command line is looked at before the first file is touched.
#[test]
fn a_check_finds_files_that_cannot_be_and_touches_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    std::fs::write(path("old"), "kept").unwrap();
    let check = |text: String| text.parse::<Spec>().unwrap().check();
    check(format!("pcap,tx={}", path("new"))).unwrap();
    check(format!("gen,tee={}", path("old"))).unwrap();
    check("pcap,tx=/dev/full".into()).unwrap();
    assert!(check(format!("pcap,rx={}", path("missing"))).is_err());
    assert!(check(format!("pcap,tx={},tee={}", path("old"), path("no/such"))).is_err());
    assert!(check(format!("pcap,tx={}", dir.path().display())).is_err());
    assert_eq!(std::fs::read_to_string(path("old")).unwrap(), "kept");
    assert!(!std::path::Path::new(&path("new")).exists());
}

#[test]
fn two_pair_links_with_an_id_are_one_cable() {
    let mut panel = PatchPanel::new();
    let mut open = |text: &str| panel.open(&text.parse().unwrap()).unwrap().link;
    let (mut a, mut c) = (open("pair,id=1,depth=2"), open("pair,id=2"));
    let (mut b, mut d) = (open("pair,id=1"), open("pair,id=2"));
    let mut frame = Vec::new();
    assert_eq!(a.transmit(b"to b", 0).unwrap(), Sent::Accepted);
    assert_eq!(d.transmit(b"to c", 0).unwrap(), Sent::Accepted);
    assert!(b.receive(&mut frame, 0).unwrap() && frame == b"to b");
    assert!(c.receive(&mut frame, 0).unwrap() && frame == b"to c");
    panel.finish().unwrap();

    let mut panel = PatchPanel::new();
    let mut loose = panel.open(&"pair,id=loose".parse().unwrap()).unwrap().link;
    let error = panel.finish().unwrap_err();
    assert!(matches!(error, SpecError::Unpaired { .. }));
    assert_eq!(error.to_string(), "only one link is pair,id=loose: give a second one the same id");
    assert_eq!(loose.status(), LinkStatus::DOWN);
}

/// A number, as it may be written, and what it is.
fn number(range: std::ops::RangeInclusive<u64>) -> impl Strategy<Value = (String, u64)> {
    (range, 0u8..4).prop_map(|(value, style)| {
        let text = match style {
            1 if value % 1_000 == 0 => format!("{}k", value / 1_000),
            2 => format!("{}.{:06}M", value / 1_000_000, value % 1_000_000),
            3 => format!("{}.{:09}G", value / 1_000_000_000, value % 1_000_000_000),
            _ => value.to_string(),
        };
        (text, value)
    })
}

/// So many cases, unless PROPTEST_CASES says how many.
fn cases(number: u32) -> ProptestConfig {
    match std::env::var_os("PROPTEST_CASES") {
        Some(_) => ProptestConfig::default(),
        None => ProptestConfig::with_cases(number),
    }
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn generators_are_what_they_are_written_as(
        size in prop::option::of(number(64..=16_384)),
        flows in prop::option::of(number(1..=65_535)),
        rate in prop::option::of(number(1..=1_000_000_000)),
        count in prop::option::of(number(0..=u64::MAX / 2_000_000_000)),
        vlan in prop::option::of(number(0..=4_094)),
        seed in any::<u64>(),
    ) {
        let mut options = Vec::new();
        for (key, value) in [("size", &size), ("flows", &flows), ("rate", &rate), ("count", &count), ("vlan", &vlan)] {
            options.extend(value.as_ref().map(|(text, _)| format!("{key}={text}")));
        }
        // In any order.
        let len = options.len().max(1);
        options.rotate_left(seed as usize % len);
        let text = std::iter::once("gen".to_owned()).chain(options).collect::<Vec<_>>().join(",");
        let value = |option: &Option<(String, u64)>| option.as_ref().map(|(_, value)| *value);
        let defaults = GeneratorConfig::default();
        let config = GeneratorConfig {
            size: value(&size).map_or(defaults.size, |size| FrameSize::Fixed(size as u16)),
            flows: value(&flows).map_or(1, |flows| flows as u32),
            rate: value(&rate),
            count: value(&count),
            vlan: value(&vlan).map(|vlan| vlan as u16),
            ..defaults
        };
        prop_assert_eq!(kind(&text), Kind::Generate { config, verify: true }, "{}", text);
    }

    #[test]
    fn probabilities_are_what_they_are_written_as(units in 0u32..=1_000_000, percent in any::<bool>()) {
        let text = if percent {
            format!("{}.{:04}%", units / 10_000, units % 10_000)
        } else {
            format!("{}.{:06}", units / 1_000_000, units % 1_000_000)
        };
        let spec: Spec = format!("sink,loss={text}").parse().unwrap();
        let loss = spec.impair.unwrap().rx.loss;
        let close = [-1.0, 0.0, 1.0].map(|ulp| Probability::new((f64::from(units) / 1e6 + ulp * 1e-15).clamp(0.0, 1.0)).unwrap());
        prop_assert!(close[0] <= loss && loss <= close[2], "{}", text);
    }

    /// Nothing typed makes it panic, and every answer is one line of reasonable length.
    #[test]
    fn any_text_is_read_or_answered(
        kind in prop::sample::select(vec!["", "gen", "sink", "pcap", "tap", "iface", "loop", "pair", "net_tap0", "net_pcap0", "é"]),
        options in prop::collection::vec(
            ("(size|flows|rate|count|vlan|dst|verify|rx|tx|loop|mtu|iface|name|depth|id|loss|dup|dir|seed|gap|hold|pause|tee|link|\\PC{0,5})",
             "(|=|=[0-9.]{0,25}[kMG%]?|=[0-9.]{0,9}(ns|us|ms|s|µs)?[/@]?[0-9]{0,9}(ns|ms)?|=\\PC{0,80})"),
            0..5),
    ) {
        let text = options.into_iter().fold(kind.to_owned(), |text, (key, value)| format!("{text},{key}{value}"));
        for error in [text.parse::<Spec>().err(), Vdev::parse(&text, &["mac"]).err()].into_iter().flatten() {
            let answer = error.to_string();
            prop_assert!(!answer.contains('\n') && answer.len() < 400, "{}", answer);
        }
    }
}
