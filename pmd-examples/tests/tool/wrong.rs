//! What cannot be: one line that names the cause and the way out, exit code 2 for the command line and 1 for the world,
//! and nothing begun.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::frames::many;
use super::pcap::{self, Files};
use super::support::{refused, text};

#[test]
fn wrong_words() {
    refused(2, "fwd --bogus", &["--bogus", "pmd fwd --help"]);
    refused(2, "fwd --durations 1", &["--durations", "'--duration'"]);
    refused(
        2,
        "fwd --forward-mode x",
        &[
            "'x'",
            "io, mac, macswap, flowgen, rxonly, txonly, csum, icmpecho, 5tswap, noisy",
            "pmd fwd --help",
        ],
    );
    refused(2, "fwd --models x", &["inline, threads"]);
    refused(2, "fwd --idle x", &["spin, pause, yield, interrupt"]);
    refused(2, "bogus", &["bogus", "pmd --help"]);
    refused(2, "fwd extra", &["'extra'"]);
    refused(2, "dump", &["--write <FILE>", "pmd dump --help"]);
    refused(2, "fwd --rxq", &["--rxq <N>"]);
    refused(2, "fwd --rxq 1 --rxq 2", &["--rxq <N>", "multiple times"]);
}

#[test]
fn wrong_devices() {
    refused(
        2,
        "fwd --vdev net_foo0",
        &["net_foo0", "net_ixgbeN, net_igbN, net_tapN, net_pcapN, net_af_packetN"],
    );
    refused(2, "fwd --vdev =", &["net_ixgbe0,link=gen"]);
    refused(2, "fwd --vdev net_ixgbe0,link=foo", &["foo", "gen, sink, pcap, tap, iface, loop, pair"]);
    refused(2, "fwd --vdev net_ixgbe0,link=gen,foo=1", &["foo", "size", "rate"]);
    refused(2, "fwd --vdev net_ixgbe0,queues=1", &["queues", "mac", "link"]);
    refused(2, "fwd --vdev net_ixgbe0 --vdev net_ixgbe0", &["net_ixgbe0", "twice", "net_ixgbe1"]);
    refused(2, "fwd --vdev net_ixgbe0,link=gen,size=1", &["1 bytes", "64 to 16384"]);
    refused(2, "fwd --vdev net_ixgbe0,link=pair,id=x", &["id=x", "second"]);
    refused(2, "fwd --vdev net_ixgbe0,part=foo", &["net_ixgbe0", "foo", "sfp or kx4"]);
    refused(2, "fwd --vdev net_ixgbe0,module=foo", &["sr, lr, dac"]);
    refused(2, "fwd --vdev net_ixgbe0,die=soon", &["soon", "number"]);
    for mac in ["zz", "02:00:00:00:00", "02:00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00", ""]
    {
        refused(2, &format!("fwd --vdev net_ixgbe0,mac={mac}"), &["net_ixgbe0", "mac", "02:00:00:00:00:01"]);
    }
    refused(2, "gen --traffic size=1", &["1 bytes", "64 to 16384"]);
    refused(2, "gen --traffic bogus=1", &["bogus", "size"]);
}

#[test]
fn wrong_numbers() {
    refused(2, "fwd --rxq 0", &["--rxq", "1..=64"]);
    refused(2, "fwd --rxq 65", &["--rxq", "1..=64"]);
    refused(2, "fwd --txq 70000", &["--txq"]);
    refused(2, "fwd --rxq 17 --txq 17", &["--rxq 17", "16", "--disable-rss"]);
    refused(2, "fwd --rxq 4", &["--txq 1", "--rxq 4", "give --txq 4"]);
    for size in ["0", "32", "100", "8192", "-1", "x"] {
        refused(2, &format!("fwd --rxd={size}"), &["--rxd", "power of two from 64 to 4096"]);
        refused(2, &format!("fwd --txd={size}"), &["--txd", "power of two from 64 to 4096"]);
    }
    refused(2, "fwd --burst 0", &["--burst", "1..=512"]);
    refused(2, "fwd --burst 513", &["--burst", "1..=512"]);
    refused(2, "fwd --max-pkt-len 64", &["--max-pkt-len", "86..=9728"]);
    refused(2, "fwd --mbuf-size 100", &["--mbuf-size", "1024..=16384"]);
    refused(
        2,
        "fwd --max-pkt-len 9728 --mbuf-size 1024 --rxd 64 --txpkts 2000",
        &["--txpkts 2000", "--mbuf-size"],
    );
    refused(2, "fwd --total-num-mbufs 100", &["--total-num-mbufs 100", "need 2"]);
    for time in ["", "x", "1x", "-1", "1e400", "99999999999h"] {
        refused(2, &format!("fwd --duration={time}"), &["--duration"]);
    }
    refused(2, "fwd --stats-period x", &["--stats-period"]);
    refused(2, "fwd --eth-peer 0", &["PORT,MAC"]);
    refused(2, "fwd --eth-peer 0,zz", &["zz", "02:00:00:00:00:01"]);
    refused(2, "fwd --eth-peer 2,02:00:00:00:00:01", &["port 2", "0 to 1"]);
}

#[test]
fn wrong_cores() {
    let cores = std::thread::available_parallelism().unwrap().get();
    refused(2, &format!("fwd -l 0-{}", cores + 900), &["not among those", "-l"]);
    refused(2, "fwd -l 5000", &["5000", "not a core number"]);
    refused(2, "fwd -l x", &["'x'", "1-2 or 0,3"]);
    refused(2, "fwd -l 1-0", &["0-1"]);
    refused(2, "fwd -l 0,0", &["twice"]);
    if cores > 1 {
        refused(2, "fwd -l 0-1 --vdev net_ixgbe0", &["2 lcores for 1 receive queues", "--rxq"]);
        refused(2, "gen -l 0-1", &["one lcore"]);
    }
}

#[test]
fn combinations_that_cannot_be() {
    refused(2, "fwd --idle interrupt", &["--idle interrupt", "--models threads"]);
    refused(2, "fwd --idle interrupt --models threads --forward-mode txonly", &["txonly", "--idle yield"]);
    refused(2, "fwd --idle interrupt --models threads --forward-mode flowgen", &["flowgen", "--idle yield"]);
}

#[test]
fn devices_of_this_machine_that_cannot_be() {
    refused(2, "fwd -a ffff:ff:1f.7", &["ffff:ff:1f.7", "pmd info"]);
    refused(2, "fwd -a lo", &["lo"]);
    refused(2, "fwd -a 01:00.0 -a 01:00.0", &["01:00.0", "twice"]);
    refused(2, "fwd --vfio-api bogus", &["bogus", "auto, iommufd, type1 or noiommu"]);
    refused(2, "fwd --vfio-vf-token 123", &["--vfio-vf-token"]);
    refused(2, "fwd --iova-mode pa", &["--vfio-api noiommu"]);
    refused(2, "fwd --iova-mode va --vfio-api noiommu", &["IOMMU"]);
}

#[test]
fn sockets_that_cannot_be() {
    refused(1, "fwd --vdev net_ixgbe0,socket=/nonexistent/s", &["net_ixgbe0", "/nonexistent/s"]);
    refused(2, "fwd --vdev net_ixgbe0,socket=", &["socket", "path"]);
    refused(2, "fwd --vdev net_ixgbe0,socket=/s,link=gen", &["link"]);
    refused(2, "fwd --vdev net_ixgbe0,socket=/s,mac=02:00:00:00:00:01", &["mac", "server"]);
    refused(2, "fwd --vdev net_ixgbe0,doorbells=mapped", &["doorbells", "socket=PATH"]);
    refused(2, "fwd --vdev net_ixgbe0,socket=/s,doorbells=loud", &["mapped or messages"]);
    refused(2, "fwd --vdev net_ixgbe0,socket=/s,reconnect=soon", &["soon"]);
    refused(2, "fwd --vdev net_igb0,link=gen", &["net_igb0", "-a BDF", "socket=PATH"]);
}

#[test]
fn captures_that_cannot_be_played() {
    let files = Files::new(&many(3));
    let play = |name: &str| format!("fwd --vdev net_pcap0,rx_pcap={}", text(&files.path(name)));
    refused(1, &play("missing.pcap"), &["net_pcap0", "missing.pcap", "No such file"]);
    refused(1, &format!("fwd --vdev net_pcap0,rx_pcap={}", text(&files.path(""))), &["not a regular file"]);

    let whole = std::fs::read(files.path("in.pcap")).unwrap();
    for cut in [24 + 16 + 10, whole.len() - 1] {
        std::fs::write(files.path("cut.pcap"), &whole[..cut]).unwrap();
        refused(1, &play("cut.pcap"), &["cut.pcap", "cut off", "copy it again"]);
    }
    for (name, content) in
        [("empty.pcap", &b""[..]), ("text.pcap", b"not a capture, but long enough to be one")]
    {
        std::fs::write(files.path(name), content).unwrap();
        refused(1, &play(name), &[name, "no pcap", "tcpdump -w"]);
    }
    let mut other = whole.clone();
    other[20] = 113;
    std::fs::write(files.path("sll.pcap"), &other).unwrap();
    refused(1, &play("sll.pcap"), &["link type 113", "Ethernet"]);

    let write = "fwd --duration 1 --vdev net_pcap0,tx_pcap=/nonexistent/out.pcap";
    refused(1, write, &["/nonexistent/out.pcap", "No such file"]);
}

/// A wrong option must not cost the capture of the run before.
#[test]
fn nothing_is_overwritten_by_a_run_that_cannot_be() {
    let files = Files::new(&many(3));
    pcap::write(&files.path("out.pcap"), &many(7));
    let port = files.one_port();
    for wrong in
        ["--rxd 100", "--total-num-mbufs 5", "--rxq 20 --txq 20", "--idle interrupt", "--vdev net_foo1"]
    {
        refused(2, &format!("fwd {port} {wrong}"), &[]);
        assert_eq!(files.out().len(), 7, "{wrong}");
    }
    refused(1, &port.replace("--vdev", "fwd --vdev").replace("in.pcap", "missing.pcap"), &["missing.pcap"]);
    assert_eq!(files.out().len(), 7);
    refused(1, &format!("fwd {port},tee=/nonexistent/tee.pcap"), &["/nonexistent/tee.pcap"]);
    assert_eq!(files.out().len(), 7);
    refused(1, &format!("fwd {port} --vdev net_pcap1,rx_pcap=/nonexistent/in.pcap"), &["net_pcap1"]);
    assert_eq!(files.out().len(), 7);
}

#[test]
fn interfaces_that_are_not_there() {
    refused(1, "fwd --vdev net_af_packet0,iface=no-such-iface", &["no-such-iface", "ip link"]);
    refused(1, "fwd --vdev net_tap0,iface=much-too-long-a-name", &["1 to 15 bytes"]);
    refused(2, "fwd --vdev net_af_packet0", &["name"]);
}

/// As nobody, whoever runs the tests.
#[test]
fn a_tap_without_root_tells_the_way() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let copy = directory.path().join("pmd");
    std::fs::copy(env!("CARGO_BIN_EXE_pmd"), &copy).unwrap();
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(copy);
    command.args(["fwd", "--vdev", "net_tap0"]).current_dir("/");
    if std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").unwrap()) == 0 {
        command.uid(65_534).gid(65_534);
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.starts_with("pmd: net_tap0: "), "{stderr}");
    let way = if std::path::Path::new("/dev/net/tun").exists() { "run as root" } else { "modprobe tun" };
    assert!(stderr.contains(way), "{stderr}");
}
