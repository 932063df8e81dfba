//! The kernel's stacks of two namespaces talk over our links: every datagram arrives, every byte of a stream, and no
//! frame is larger than a wire carries, whatever the interfaces offload.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use pmd_links::{KernelDrops, PacketSocket, Tap, TapConfig, Watch};

use crate::netns::{Namespace, wanted};
use crate::wire::Wire;
use crate::{iface, tap};

const PATIENCE: Duration = Duration::from_secs(20);

/// A call with a time limit ends with EINTR when the machine is stopped and goes on (signal(7)); it is asked again.
fn again<T>(mut call: impl FnMut() -> std::io::Result<T>) -> T {
    loop {
        match call() {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.unwrap(),
        }
    }
}

/// Two hosts, each with an interface of the given name.
struct Hosts {
    hosts: [Namespace; 2],
}

impl Hosts {
    fn address(&self, v6: bool, host: usize) -> IpAddr {
        if v6 { format!("fd00::{}", host + 1) } else { format!("10.77.0.{}", host + 1) }.parse().unwrap()
    }

    /// Gives the interfaces their addresses, and neighbours that need no discovery.
    fn configure(hosts: [Namespace; 2], name: &str) -> Hosts {
        let hosts = Hosts { hosts };
        for (i, host) in hosts.hosts.iter().enumerate() {
            host.ip(&format!("addr add {}/24 dev {name}", hosts.address(false, i)));
            host.ip(&format!("addr add {}/64 dev {name} nodad", hosts.address(true, i)));
            host.ip(&format!("link set {name} up"));
        }
        hosts
    }

    /// Datagrams of the given sizes, each echoed before the next.
    fn udp_echo(&self, v6: bool, sizes: impl Iterator<Item = usize>) -> usize {
        let address = SocketAddr::new(self.address(v6, 1), 0);
        let server = self.hosts[1].run(|| UdpSocket::bind(address).unwrap());
        let client = self.hosts[0].run(|| UdpSocket::bind(SocketAddr::new(self.address(v6, 0), 0)).unwrap());
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
        }
        client.connect(server.local_addr().unwrap()).unwrap();
        let mut buffer = vec![0; 65_536];
        let mut count = 0;
        for (i, size) in sizes.enumerate() {
            let message = vec![i as u8; size];
            again(|| client.send(&message));
            let (len, from) = again(|| server.recv_from(&mut buffer));
            again(|| server.send_to(&buffer[..len], from));
            let len = again(|| client.recv(&mut buffer));
            assert!(buffer[..len] == message);
            count += 1;
        }
        count
    }

    /// A stream of `len` bytes from the first host to the second.
    fn tcp(&self, v6: bool, len: usize) {
        let address = SocketAddr::new(self.address(v6, 1), 0);
        let listener = self.hosts[1].run(|| TcpListener::bind(address).unwrap());
        let to = listener.local_addr().unwrap();
        let data: Vec<u8> = (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::thread::scope(|scope| {
            let receiver = scope.spawn(|| {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut received = Vec::with_capacity(len);
                stream.read_to_end(&mut received).unwrap();
                received
            });
            let mut stream = self.hosts[0].run(|| TcpStream::connect_timeout(&to, PATIENCE).unwrap());
            stream.set_write_timeout(Some(PATIENCE)).unwrap();
            stream.write_all(&data).unwrap();
            drop(stream);
            assert!(receiver.join().unwrap() == data, "all bytes, in order");
        });
    }

    /// One call that sends `count` datagrams of `size` bytes, which the kernel leaves in one piece as long as it can.
    fn udp_segments(&self, v6: bool, size: usize, count: usize) {
        let server = self.hosts[1].run(|| UdpSocket::bind(SocketAddr::new(self.address(v6, 1), 0)).unwrap());
        let client = self.hosts[0].run(|| UdpSocket::bind(SocketAddr::new(self.address(v6, 0), 0)).unwrap());
        server.set_read_timeout(Some(PATIENCE)).unwrap();
        setsockopt(&client.as_fd(), sockopt::UdpGsoSegment, &(size as i32)).unwrap();
        let message: Vec<u8> = (0..size * count).map(|i| (i / size) as u8).collect();
        client.send_to(&message, server.local_addr().unwrap()).unwrap();
        let mut buffer = vec![0; 65_536];
        for i in 0..count {
            assert_eq!(again(|| server.recv(&mut buffer)), size);
            assert!(buffer[..size].iter().all(|&byte| byte == i as u8));
        }
    }
}

#[test]
fn two_stacks_talk_over_taps() {
    if !wanted("two_stacks_talk_over_taps") {
        return;
    }
    let hosts = [Namespace::new(), Namespace::new()];
    let [a, b] = [0, 1].map(|i| hosts[i].run(|| Tap::open(&tap("t0")).unwrap()));
    let drops = [a.drops(), b.drops()];
    let hosts = Hosts::configure(hosts, "t0");
    let wire = Wire::new(a, b);
    assert_eq!(hosts.udp_echo(false, (0..1_000).map(|i| i % 1_472 + 1)), 1_000);
    assert_eq!(hosts.udp_echo(true, (0..100).map(|i| i * 14)), 100);
    hosts.tcp(false, 20 << 20);
    hosts.tcp(true, 2 << 20);
    assert_eq!(wire.largest(), 1_514);
    assert!(drops.iter().all(|drops| drops.get() == KernelDrops::default()), "{drops:?}");
}

#[test]
fn two_stacks_talk_over_jumbo_taps() {
    if !wanted("two_stacks_talk_over_jumbo_taps") {
        return;
    }
    let hosts = [Namespace::new(), Namespace::new()];
    let config = TapConfig { mtu: Some(9_000), ..tap("t0") };
    let [a, b] = [0, 1].map(|i| hosts[i].run(|| Tap::open(&config).unwrap()));
    let hosts = Hosts::configure(hosts, "t0");
    let wire = Wire::new(a, b);
    assert_eq!(hosts.udp_echo(false, [1, 8_972, 5_000].into_iter()), 3);
    hosts.tcp(false, 4 << 20);
    assert_eq!(wire.largest(), 9_014);
}

/// Interfaces that leave checksums and the cutting of segments to the other end, as veth does by default.
#[test]
fn two_stacks_talk_over_packet_sockets_whatever_is_offloaded() {
    if !wanted("two_stacks_talk_over_packet_sockets_whatever_is_offloaded") {
        return;
    }
    let middle = Namespace::new();
    let hosts = [Namespace::new(), Namespace::new()];
    for (i, host) in hosts.iter().enumerate() {
        middle.ip(&format!("link add m{i} type veth peer name k0 netns {}", host.name));
        middle.ip(&format!("link set m{i} up"));
    }
    let [a, b] = [0, 1].map(|i| middle.run(|| PacketSocket::open(&iface(&format!("m{i}"))).unwrap()));
    let drops: [Watch<KernelDrops>; 2] = [a.drops(), b.drops()];
    let hosts = Hosts::configure(hosts, "k0");
    let wire = Wire::new(a, b);
    assert_eq!(hosts.udp_echo(false, (0..1_000).map(|i| i % 1_472 + 1)), 1_000);
    assert_eq!(hosts.udp_echo(true, (0..100).map(|i| i * 14)), 100);
    // Larger than a frame: fragments.
    assert_eq!(hosts.udp_echo(false, [4_000, 60_000].into_iter()), 2);
    hosts.tcp(false, 20 << 20);
    hosts.tcp(true, 5 << 20);
    hosts.udp_segments(false, 1_000, 40);
    hosts.udp_segments(true, 1_452, 20);
    assert_eq!(wire.largest(), 1_514, "no segment larger than a frame reached the wire");
    assert!(drops.iter().all(|drops| drops.get() == KernelDrops::default()), "{drops:?}");
}
