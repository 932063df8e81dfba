//! TAP interfaces and packet sockets against the kernel's own stack, in network namespaces; and what is said to those
//! who may not open them.
//!
//! Tests that need root run with `KIT_ROOT_TESTS=1` and say `SKIP` otherwise.

mod netns;
mod stack;
mod wire;

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use netns::{Namespace, is_root, wanted};
use pmd_links::{Link, LinkError, LinkStatus, PacketSocket, PacketSocketConfig, Sent, Tap, TapConfig, Word};

const SECOND: u64 = 1_000_000_000;

fn tap(name: &str) -> TapConfig {
    TapConfig { name: name.into(), up: true, mtu: None }
}

fn iface(name: &str) -> PacketSocketConfig {
    PacketSocketConfig { name: name.into(), promiscuous: false }
}

fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0; len];
    for (slot, byte) in frame.iter_mut().zip([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5]) {
        *slot = byte;
    }
    frame
}

/// The next frame of the tests' own EtherTypes within a time, past what the stack itself sends. On a machine that is
/// busy the kernel delivers late.
fn receive_within(link: &mut dyn Link, now: u64, patience: Duration) -> Option<Vec<u8>> {
    let start = Instant::now();
    let mut frame = Vec::new();
    while start.elapsed() < patience {
        let found = link.receive(&mut frame, now + start.elapsed().as_nanos() as u64).unwrap();
        let ether_type = frame.get(12..14).map(|bytes| [bytes[0], bytes[1]]);
        if found && matches!(ether_type, Some([0x88, 0xb5] | [0x81, 0x00] | [0x88, 0xa8])) {
            return Some(frame);
        }
        if !found {
            std::thread::sleep(Duration::from_micros(100));
        }
    }
    None
}

fn receive_ours(link: &mut dyn Link, now: u64) -> Option<Vec<u8>> {
    receive_within(link, now, Duration::from_secs(5))
}

fn hears_nothing(link: &mut dyn Link, now: u64) -> bool {
    receive_within(link, now, Duration::from_millis(50)).is_none()
}

/// Asks until it is so, for two seconds at most. What a test closes may live on for a moment in the child that another
/// test is just starting, until that becomes another program.
fn eventually(mut is_so: impl FnMut() -> bool) -> bool {
    (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        is_so()
    })
}

/// A veth cable between two namespaces: `m0` in the first, `k0` in the second, both up.
fn cable() -> (Namespace, Namespace) {
    let (near, far) = (Namespace::new(), Namespace::new());
    near.ip(&format!("link add m0 type veth peer name k0 netns {}", far.name));
    near.ip("link set m0 up");
    far.ip("link set k0 up");
    assert!(eventually(|| is_running(&near, "m0") && is_running(&far, "k0")));
    (near, far)
}

/// Whether the kernel has seen the carrier. Until then it drops, without a word, what is sent over the interface.
fn is_running(namespace: &Namespace, name: &str) -> bool {
    namespace.ip(&format!("link show {name}")).contains("state UP")
}

#[test]
fn names_are_checked_before_the_kernel_is_asked() {
    for name in ["", "sixteen-bytes-ab", "a/b"] {
        let tap_error = Tap::open(&tap(name)).err().unwrap();
        let socket_error = PacketSocket::open(&iface(name)).err().unwrap();
        assert_eq!(tap_error, LinkError::BadInterfaceName { name: Word::head(name) });
        assert_eq!(tap_error, socket_error);
    }
}

#[test]
fn an_interface_that_is_not_there_is_said() {
    // Asked before permissions are.
    let error = PacketSocket::open(&iface("no-such-iface")).err().unwrap();
    assert_eq!(
        error.to_string(),
        "there is no interface no-such-iface in this network namespace: \"ip link\" lists those there are"
    );
}

/// As nobody, whoever runs the tests.
#[test]
fn without_root_the_way_out_is_said() {
    if !is_root() {
        return refused();
    }
    // The build directory may be closed to others.
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = dir.path().join("test");
    // Not written by this process: a child that another test is starting would hold the file open for writing, and it
    // could not be run.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status().unwrap();
    assert!(copied.success());
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    let output = Command::new(&copy)
        .args(["--exact", "refused_in_a_child", "--nocapture"])
        .env("PMD_LINKS_REFUSED", "1")
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("refused as it should be"), "{text}");
}

#[test]
fn refused_in_a_child() {
    if std::env::var_os("PMD_LINKS_REFUSED").is_some() {
        refused();
        println!("refused as it should be");
    }
}

fn refused() {
    assert!(!is_root());
    let error = Tap::open(&tap("t0")).err().unwrap();
    let name = Word::head("t0");
    if Path::new("/dev/net/tun").exists() {
        assert_eq!(error, LinkError::TapNotPermitted { name });
        assert!(error.to_string().contains("run as root") && error.to_string().contains("cap_net_admin"));
    } else {
        assert_eq!(error, LinkError::NoTunDriver);
    }
    let error = PacketSocket::open(&iface("lo")).err().unwrap();
    assert_eq!(error, LinkError::PacketSocketNotPermitted { name: Word::head("lo") });
    assert!(error.to_string().contains("run as root") && error.to_string().contains("cap_net_raw"));
}

#[test]
fn taps_that_cannot_be_are_said() {
    if !wanted("taps_that_cannot_be_are_said") {
        return;
    }
    let namespace = Namespace::new();
    namespace.run(|| {
        assert_eq!(Tap::open(&tap("lo")).err(), Some(LinkError::NotTap { name: Word::head("lo") }));
        let first = Tap::open(&tap("t0")).unwrap();
        assert_eq!(Tap::open(&tap("t0")).err(), Some(LinkError::TapInUse { name: Word::head("t0") }));
        drop(first);
        assert!(eventually(|| Tap::open(&tap("t0")).is_ok()));
    });
    // A TAP that root made is joined, and stays.
    namespace.ip("tuntap add t1 mode tap");
    namespace.run(|| drop(Tap::open(&tap("t1")).unwrap()));
    assert!(namespace.ip("link show t1").contains("t1"));
    namespace.ip("tuntap add tun1 mode tun");
    let error = namespace.run(|| PacketSocket::open(&iface("tun1")).err());
    assert_eq!(error, Some(LinkError::NotEthernet { name: Word::head("tun1") }));
}

#[test]
fn a_tap_is_created_up_with_its_mtu_and_goes_with_the_link() {
    if !wanted("a_tap_is_created_up_with_its_mtu_and_goes_with_the_link") {
        return;
    }
    let namespace = Namespace::new();
    let config = TapConfig { mtu: Some(9_000), ..tap("t0") };
    let link = namespace.run(|| Tap::open(&config).unwrap());
    let shown = namespace.ip("link show t0");
    assert!(shown.contains("mtu 9000") && shown.contains(",UP"), "{shown}");
    drop(link);
    assert!(eventually(|| !namespace.ip("link show").contains("t0")));
}

/// Carrier down is Busy, up again goes on, removed is an error; the same for both kinds.
#[test]
fn interfaces_go_down_and_up_and_away() {
    if !wanted("interfaces_go_down_and_up_and_away") {
        return;
    }
    let (near, far) = cable();
    let config = TapConfig { up: false, ..tap("t0") };
    let mut tap = near.run(|| Tap::open(&config).unwrap());
    let mut socket = near.run(|| PacketSocket::open(&iface("m0")).unwrap());
    let links: [(&str, &mut dyn Link); 2] = [("t0", &mut tap), ("m0", &mut socket)];
    for (name, link) in links {
        let mut now = 0;
        let mut later = || {
            now += SECOND;
            now
        };
        let mut received = Vec::new();
        near.ip(&format!("link set {name} down"));
        assert!(!link.receive(&mut received, later()).unwrap());
        near.run(|| assert_eq!(link.status(), LinkStatus::DOWN, "{name}"));
        for _ in 0..100 {
            assert_eq!(link.transmit(&frame(60), later()).unwrap(), Sent::Busy, "{name}");
        }
        near.ip(&format!("link set {name} up"));
        assert_eq!(link.transmit(&frame(60), later()).unwrap(), Sent::Accepted, "{name}");
        // The kernel takes up to a second to say so.
        let is_up = near.run(|| {
            (0..500).any(|_| {
                std::thread::sleep(Duration::from_millis(10));
                let _ = link.receive(&mut received, later()).unwrap();
                link.status().up
            })
        });
        assert!(is_up, "{name}");
        if name == "m0" {
            assert!(eventually(|| is_running(&far, "k0")));
            let mut there = far.run(|| PacketSocket::open(&iface("k0")).unwrap());
            assert_eq!(there.transmit(&frame(60), 0).unwrap(), Sent::Accepted);
            assert_eq!(receive_ours(link, later()), Some(frame(60)), "it hears again");
        }
        near.ip(&format!("link del {name}"));
        // A MAC without a carrier would not ask for frames, and never hear of it.
        near.run(|| (0..2_000).for_each(|_| assert!(link.status().up, "{name}: not told yet")));
        let gone = LinkError::InterfaceGone { name: Word::head(name) };
        let error = (0..10).find_map(|_| link.receive(&mut received, later()).err());
        assert_eq!(error, Some(gone), "{name}");
        assert_eq!(link.transmit(&frame(60), later()), Err(gone), "{name}");
        near.run(|| assert_eq!(link.status(), LinkStatus::DOWN, "{name}"));
    }
}

#[test]
fn a_packet_socket_hears_its_wire_and_not_this_machine() {
    if !wanted("a_packet_socket_hears_its_wire_and_not_this_machine") {
        return;
    }
    let (near, far) = cable();
    let mut here = near.run(|| PacketSocket::open(&iface("m0")).unwrap());
    let mut neighbour = near.run(|| PacketSocket::open(&iface("m0")).unwrap());
    let mut there = far.run(|| PacketSocket::open(&iface("k0")).unwrap());
    near.run(|| assert!(here.status().up));
    assert_eq!(here.transmit(&frame(60), 0).unwrap(), Sent::Accepted);
    assert_eq!(receive_ours(&mut there, 0), Some(frame(60)));
    assert!(hears_nothing(&mut here, 0), "its own frame");
    assert!(hears_nothing(&mut neighbour, 0), "a frame that this machine sends");
    assert_eq!(there.transmit(&frame(1_514), SECOND).unwrap(), Sent::Accepted);
    assert_eq!(receive_ours(&mut here, SECOND), Some(frame(1_514)));
    assert_eq!(receive_ours(&mut neighbour, SECOND), Some(frame(1_514)));

    // What the interface cannot carry is counted and not held up.
    assert_eq!(here.transmit(&frame(1_600), 2 * SECOND).unwrap(), Sent::Accepted);
    assert_eq!(here.transmit(&[1, 2, 3], 2 * SECOND).unwrap(), Sent::Accepted);
    let drops = here.drops().get();
    assert_eq!((drops.tx_oversize, drops.tx_refused, drops.rx_unusable), (1, 1, 0));
    assert!(hears_nothing(&mut there, 2 * SECOND));
}

#[test]
fn vlan_tags_arrive_as_they_were_sent() {
    if !wanted("vlan_tags_arrive_as_they_were_sent") {
        return;
    }
    let (near, far) = cable();
    let mut here = near.run(|| PacketSocket::open(&iface("m0")).unwrap());
    let mut there = far.run(|| PacketSocket::open(&iface("k0")).unwrap());
    let mut tap = far.run(|| Tap::open(&crate::tap("t0")).unwrap());
    let mut behind_tap = far.run(|| PacketSocket::open(&iface("t0")).unwrap());
    let single = [&frame(60)[..12], &[0x81, 0x00, 0xe1, 0x23], &frame(60)[12..]].concat();
    let double = [&single[..12], &[0x88, 0xa8, 0x00, 0x07], &single[12..]].concat();
    let full = [&single[..], &vec![9; 1_518 - 64]].concat();
    for (i, tagged) in [single, double, full].into_iter().enumerate() {
        let now = i as u64 * SECOND;
        assert_eq!(here.transmit(&tagged, now).unwrap(), Sent::Accepted);
        assert!(receive_ours(&mut there, now) == Some(tagged.clone()), "veth, frame {i}");
        // Through a TAP both ways; a packet socket plays the stack.
        assert_eq!(behind_tap.transmit(&tagged, now).unwrap(), Sent::Accepted);
        assert!(receive_ours(&mut tap, now) == Some(tagged.clone()), "out of the TAP, frame {i}");
        assert_eq!(tap.transmit(&tagged, now).unwrap(), Sent::Accepted);
        assert!(receive_ours(&mut behind_tap, now) == Some(tagged), "into the TAP, frame {i}");
    }
}

#[test]
fn promiscuity_lasts_as_long_as_the_socket() {
    if !wanted("promiscuity_lasts_as_long_as_the_socket") {
        return;
    }
    let (near, _far) = cable();
    let promiscuity = || {
        let shown = near.ip("-d link show m0");
        shown
            .split_whitespace()
            .skip_while(|word| *word != "promiscuity")
            .nth(1)
            .unwrap()
            .parse::<u32>()
            .unwrap()
    };
    let quiet = near.run(|| PacketSocket::open(&iface("m0")).unwrap());
    assert_eq!(promiscuity(), 0);
    let loud =
        near.run(|| PacketSocket::open(&PacketSocketConfig { promiscuous: true, ..iface("m0") }).unwrap());
    assert_eq!(promiscuity(), 1);
    drop(loud);
    assert!(eventually(|| promiscuity() == 0));
    drop(quiet);
}
