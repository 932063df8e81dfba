//! What can be asked of a run: by DPDK's telemetry client, and by whoever reads OpenMetrics.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};
use rustix::process::Signal;
use serde_json::Value;

use super::ends::Under;
use super::support::{number, refused};

/// A client that does what dpdk-telemetry.py does.
struct Client {
    socket: OwnedFd,
    longest: usize,
    greeting: Value,
}

impl Client {
    fn connect(path: &Path) -> Client {
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        connect(&socket, &SocketAddrUnix::new(path).unwrap()).unwrap();
        let mut client = Client { socket, longest: 1024, greeting: Value::Null };
        client.greeting = client.read();
        client.longest = number(&client.greeting, "/max_output_len") as usize;
        client
    }

    fn read(&self) -> Value {
        let mut bytes = vec![0; self.longest];
        let (len, _) = recv(&self.socket, &mut bytes, RecvFlags::empty()).unwrap();
        serde_json::from_slice(&bytes[..len]).unwrap()
    }

    /// Returns the answer, which must be the only value under the command's name.
    fn ask(&self, question: &str) -> Value {
        send(&self.socket, question.as_bytes(), SendFlags::empty()).unwrap();
        let answer = self.read();
        let object = answer.as_object().unwrap();
        assert_eq!(object.len(), 1, "{answer}");
        object[question.split(',').next().unwrap()].clone()
    }
}

fn start(name: &str, more: &str) -> Under {
    let prefix = format!("pmd-test-{}-{name}", std::process::id());
    Under::start(&format!("fwd --duration 0 --stats-period 0 --json --file-prefix {prefix} {more}"))
}

fn socket_path(run: &mut Under) -> String {
    run.until("telemetry: ").strip_prefix("telemetry: ").unwrap().to_owned()
}

#[track_caller]
fn stop(run: Under) -> Value {
    run.signal(Signal::INT);
    let ran = run.wait();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    serde_json::from_str(&ran.stdout).unwrap()
}

#[test]
fn dpdks_client_is_answered() {
    let mut run = start("client", "--telemetry");
    let path = socket_path(&mut run);
    assert!(path.ends_with("/dpdk_telemetry.v2"), "{path}");
    run.until("lcore on core");
    let client = Client::connect(Path::new(&path));
    assert!(client.greeting["version"].as_str().unwrap().starts_with("pmd "));
    assert!(client.greeting["pid"].as_u64().is_some());
    let commands: Vec<String> = serde_json::from_value(client.ask("/")).unwrap();
    for command in
        ["/ethdev/list", "/ethdev/stats", "/ethdev/xstats", "/ethdev/link_status", "/info", "/help"]
    {
        assert!(commands.iter().any(|one| one == command), "{commands:?}");
        assert!(client.ask(&format!("/help,{command}"))[command].is_string());
    }
    assert_eq!(client.ask("/ethdev/list"), serde_json::json!([0, 1]));
    let packets = |client: &Client| number(&client.ask("/ethdev/stats,0"), "/ipackets");
    let first = packets(&client);
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(packets(&client) > first, "the counters run");
    assert!(client.ask("/ethdev/xstats,1").as_object().unwrap().len() > 100);
    let link = client.ask("/ethdev/link_status,0");
    assert_eq!((link["status"].as_str(), link["speed"].as_u64()), (Some("UP"), Some(10_000)));
    assert_eq!(client.ask("/ethdev/info,0")["mac_addr"], "02:82:59:90:00:00");
    let pool = client.ask("/mempool/list")[0].as_str().unwrap().to_owned();
    assert!(number(&client.ask(&format!("/mempool/info,{pool}")), "/size") > 1000);
    for wrong in ["/ethdev/stats,2", "/ethdev/stats", "/ethdev/stats,x", "/no/such", "x", "é", "/help,/no"] {
        assert_eq!(client.ask(wrong), Value::Null, "{wrong}");
    }
    // A second client, and one that leaves in the middle.
    let second = Client::connect(Path::new(&path));
    drop(client);
    assert_eq!(second.ask("/ethdev/list"), serde_json::json!([0, 1]));
    assert_eq!(stop(run)["balanced"], true);
    assert!(!Path::new(&path).exists(), "the socket is left behind");
    let _ = std::fs::remove_dir(Path::new(&path).parent().unwrap());
}

#[test]
fn a_second_run_of_a_name_has_the_next_instance() {
    let mut first = start("two", "--telemetry");
    let path = socket_path(&mut first);
    let mut second = start("two", "--telemetry");
    assert_eq!(socket_path(&mut second), format!("{path}:1"));
    for run in [first, second] {
        run.signal(Signal::KILL);
        run.wait();
    }
    // What they left is taken over.
    let mut third = start("two", "--telemetry");
    assert_eq!(socket_path(&mut third), path);
    third.until("lcore on core");
    stop(third);
    let _ = std::fs::remove_dir_all(Path::new(&path).parent().unwrap());
}

fn get(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn metrics_are_read_over_http() {
    let mut run = start("metrics", "--metrics 0");
    let line = run.until("metrics: http://");
    let address = line.strip_prefix("metrics: http://").unwrap().strip_suffix("/metrics").unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    run.until("lcore on core");
    let answer = get(address, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.starts_with("HTTP/1.1 200 OK") && head.contains("application/openmetrics-text; version=1.0.0")
    );
    assert!(body.ends_with("# EOF\n"));
    let value = |name: &str| -> u64 {
        let line = body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {body}")).parse().unwrap()
    };
    assert!(value("pmd_port_rx_packets_total{port=\"0\",device=\"net_ixgbe0\"}") > 0);
    assert_eq!(value("pmd_port_link_up{port=\"1\",device=\"net_ixgbe1\"}"), 1);
    assert!(value("pmd_port_xstat{port=\"0\",device=\"net_ixgbe0\",name=\"rx_good_packets\"}") > 0);
    assert!(value("pmd_pool_buffers") > value("pmd_pool_free_buffers"));
    // Every sample is of a family that was announced.
    let families: Vec<&str> =
        body.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for line in body.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap();
        assert!(
            families.iter().any(|family| name.strip_suffix("_total").unwrap_or(name) == *family),
            "{line}"
        );
    }
    for (request, status) in [
        ("GET /other HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("\r\n\r\n", "405"),
    ] {
        assert!(get(address, request).starts_with(&format!("HTTP/1.1 {status}")), "{request:?}");
    }
    // Endless, cut and silent requests hold nobody up for long.
    get(address, &"x".repeat(100_000));
    get(address, "GET /met");
    drop(TcpStream::connect(address).unwrap());
    assert!(get(address, "GET /metrics HTTP/1.1\r\n\r\n").contains("# EOF"));
    stop(run);
}

#[test]
fn wrong_addresses_and_names() {
    refused(2, "fwd --metrics nowhere", &["nowhere", "9876"]);
    refused(2, "fwd --telemetry --file-prefix ../x", &["letters"]);
    refused(2, "fwd --telemetry --file-prefix a/b", &["letters"]);
}
