//! `pmd` between the kernel's own network stacks: namespaces joined by two TAP interfaces that `pmd fwd` connects, an
//! interface that answers ping, hugepages.
//!
//! These tests need root and run with `KIT_ROOT_TESTS=1`; with `KIT_LONG=1` they move the whole amount. They need iproute2
//! and python3, and the kernel's veth, bridge and tun.
//!
//! ```text
//! namespace A          namespace M                                              namespace B
//! a0 ------ veth ------ am, bridge, tap-a -- model, pmd fwd, model -- tap-b, bridge, bm ------ veth ------ b0
//! ```

mod hugepages;
mod netns;
mod tool;

use std::io::{BufRead as _, BufReader};
use std::time::{Duration, Instant};

use netns::{Namespace, Process, amount, wanted};
use tool::Tool;

const PING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/ping.py");
const TCP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/system/tcp.py");

/// Two hosts and what is between them.
struct Joined {
    a: Namespace,
    b: Namespace,
    middle: Namespace,
}

impl Joined {
    fn new() -> Joined {
        let (a, b, middle) = (Namespace::new(), Namespace::new(), Namespace::new().without_ipv6());
        for (side, host, number) in [("a", &a, 1), ("b", &b, 2)] {
            middle.ip(&format!("link add {side}m type veth peer name {side}0 netns {}", host.name));
            middle.ip(&format!("tuntap add tap-{side} mode tap"));
            middle.ip(&format!("link add br-{side} type bridge"));
            for port in [format!("{side}m"), format!("tap-{side}")] {
                middle.ip(&format!("link set {port} master br-{side} up"));
            }
            middle.ip(&format!("link set br-{side} up"));
            host.ip(&format!("addr add 10.72.0.{number}/24 dev {side}0"));
            host.ip(&format!("addr add fd00:72::{number}/64 dev {side}0 nodad"));
            host.ip(&format!("link set {side}0 up"));
        }
        Joined { a, b, middle }
    }

    #[track_caller]
    fn tool(&self, more: &str) -> Tool {
        let ports = "--vdev net_tap0,iface=tap-a --vdev net_tap1,iface=tap-b";
        Tool::start(&self.middle, &format!("fwd --json --xstats --stats-period 0 {ports} {more}"))
    }

    /// Sends `bytes` over each of `connections` at once; what arrives must have the same checksum.
    #[track_caller]
    fn tcp(&self, address: &str, connections: u16, bytes: usize) {
        let mut pairs = Vec::new();
        for port in 7000..7000 + connections {
            let mut server =
                Process::spawn(self.b.command("python3", &format!("{TCP} serve {address} {port}")));
            let mut line = String::new();
            BufReader::new(server.child().stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
            assert_eq!(line, "ready\n");
            let client = self.a.command("python3", &format!("{TCP} ask {address} {port} {bytes}"));
            pairs.push((server, Process::spawn(client)));
        }
        let start = Instant::now();
        for (server, client) in pairs {
            let client = client.wait(Duration::from_secs(300));
            assert!(client.status.success(), "{}", String::from_utf8_lossy(&client.stderr));
            assert!(server.wait(Duration::from_secs(20)).status.success());
        }
        let rate = (bytes * usize::from(connections)) as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!("{connections} x {bytes} bytes over TCP to {address}: {rate:.1} MB/s");
    }
}

/// Every ping of `count` must be answered, with what was sent.
#[track_caller]
fn ping(from: &Namespace, address: &str, count: usize, size: usize) {
    let text = from.run("python3", &format!("{PING} {address} {count} 0.002 {size}"));
    assert_eq!(text.trim(), format!("{count} sent, {count} answered"));
}

fn number(value: &serde_json::Value, pointer: &str) -> u64 {
    value
        .pointer(pointer)
        .and_then(serde_json::Value::as_u64)
        .unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

#[test]
fn ping_and_tcp_pass_between_two_namespaces() {
    if !wanted("ping_and_tcp_pass_between_two_namespaces") {
        return;
    }
    let joined = Joined::new();
    let tool = joined.tool("");
    ping(&joined.a, "10.72.0.2", amount(100, 1_000), 56);
    joined.tcp("10.72.0.2", 1, amount(10_000_000, 100_000_000));
    let report = tool.stop();
    assert!(number(&report, "/total/rx_packets") > amount(7_000, 70_000) as u64, "{report:#}");
    assert_eq!(number(&report, "/total/mode_dropped"), 0);
}

#[test]
fn ipv6_passes_too() {
    if !wanted("ipv6_passes_too") {
        return;
    }
    let joined = Joined::new();
    let tool = joined.tool("--models threads");
    ping(&joined.a, "fd00:72::2", amount(100, 1_000), 56);
    joined.tcp("fd00:72::2", 1, amount(2_000_000, 20_000_000));
    tool.stop();
}

#[test]
fn four_queues_with_rss_on_two_lcores() {
    if !wanted("four_queues_with_rss_on_two_lcores") {
        return;
    }
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(cores >= 2, "this test needs two cores");
    let joined = Joined::new();
    let tool = joined.tool("--rxq 4 --txq 4 -l 0-1");
    ping(&joined.a, "10.72.0.2", amount(100, 1_000), 56);
    joined.tcp("10.72.0.2", 8, amount(1_250_000, 12_500_000));
    let report = tool.stop();
    for port in 0..2 {
        let of = |queue| number(&report, &format!("/ports/{port}/xstats/rx_q{queue}_packets"));
        let queues: Vec<u64> = (0..4).map(of).collect();
        // Nine flows by their hash: that three of four queues stay empty does not happen.
        assert!(queues.iter().filter(|&&packets| packets > 50).count() >= 2, "{queues:?}");
    }
    assert_eq!(report["lcores"].as_array().unwrap().len(), 2);
}

#[test]
fn interrupts_wake_a_sleeping_forwarder() {
    if !wanted("interrupts_wake_a_sleeping_forwarder") {
        return;
    }
    let joined = Joined::new();
    let tool = joined.tool("--models threads --idle interrupt");
    ping(&joined.a, "10.72.0.2", amount(100, 1_000), 56);
    joined.tcp("10.72.0.2", 1, amount(1_000_000, 20_000_000));
    let report = tool.stop();
    let (waits, interrupts) = (number(&report, "/lcores/0/waits"), number(&report, "/lcores/0/interrupts"));
    println!("{interrupts} interrupts for {waits} waits");
    // On a busy machine packets come in heaps, each of which wakes once.
    assert!(interrupts > 10 && interrupts <= waits, "{report:#}");
}

#[test]
fn a_tap_answers_ping_for_every_address() {
    if !wanted("a_tap_answers_ping_for_every_address") {
        return;
    }
    let host = Namespace::new();
    host.ip("tuntap add t0 mode tap");
    host.ip("addr add 10.73.0.1/24 dev t0");
    host.ip("addr add fd00:73::1/64 dev t0 nodad");
    host.ip("link set t0 up");
    let tool =
        Tool::start(&host, "fwd --json --stats-period 0 --forward-mode icmpecho --vdev net_tap0,iface=t0");
    for address in ["10.73.0.2", "10.73.0.99", "fd00:73::2", "fd00:73::1:99"] {
        for size in [0, 56, 1472 - 20] {
            ping(&host, address, 20, size);
        }
    }
    tool.stop();
}

#[test]
fn any_interface_of_the_kernel_can_be_a_port() {
    if !wanted("any_interface_of_the_kernel_can_be_a_port") {
        return;
    }
    let (host, tool_side) = (Namespace::new(), Namespace::new().without_ipv6());
    tool_side.ip(&format!("link add p0 type veth peer name h0 netns {}", host.name));
    tool_side.ip("link set p0 up");
    host.ip("addr add 10.74.0.1/24 dev h0");
    host.ip("link set h0 up");
    let args = "fwd --json --stats-period 0 --forward-mode icmpecho --vdev net_af_packet0,iface=p0";
    let tool = Tool::start(&tool_side, args);
    ping(&host, "10.74.0.2", 20, 56);
    tool.stop();
}

#[test]
fn an_interface_that_is_removed_ends_the_run_with_totals() {
    if !wanted("an_interface_that_is_removed_ends_the_run_with_totals") {
        return;
    }
    let joined = Joined::new();
    let tool = joined.tool("");
    ping(&joined.a, "10.72.0.2", 10, 56);
    joined.middle.ip("link del tap-a");
    let (code, report, says) = tool.wait();
    assert_eq!(code, Some(1), "{says}");
    let last = says.lines().last().unwrap();
    assert!(last.starts_with("pmd: net_tap0: interface tap-a was removed"), "{says}");
    assert!(number(&report, "/total/rx_packets") >= 20, "{report:#}");
    assert!(report["error"].as_str().unwrap().contains("tap-a was removed"));
}

#[test]
fn a_tap_that_is_held_is_refused() {
    if !wanted("a_tap_that_is_held_is_refused") {
        return;
    }
    let host = Namespace::new().without_ipv6();
    let tool = Tool::start(&host, "fwd --json --stats-period 0 --vdev net_tap0,iface=t0");
    let output = host.command(env!("CARGO_BIN_EXE_pmd"), "fwd --vdev net_tap0,iface=t0").output().unwrap();
    let says = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(says, "pmd: net_tap0: TAP t0 is held by another process: stop it, or choose another name\n");
    tool.stop();
}
