//! Any interface of the kernel as a wire, by a raw packet socket (AF_PACKET).
//!
//! Key types: [`PacketSocket`], [`PacketSocketConfig`].
//! Neighbours: one of the links behind [`Link`]; `segment` turns what the kernel gives into frames of a wire. For an
//! interface of the model's own see [`Tap`](crate::Tap).

use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno as Os;
use nix::ifaddrs::getifaddrs;
use nix::net::if_::InterfaceFlags;
use nix::sys::socket::{
    AddressFamily, ControlMessageOwned, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType,
    SockaddrStorage, bind, getsockname, recvmsg, sendmsg, setsockopt, socket, sockopt,
};

use super::backoff::{Backoff, StatusCache};
use super::segment::{Tag, VnetHeader, finish_into};
use super::{LARGEST_FRAME, check_name};
use crate::counters::{Live, add};
use crate::queue::FrameQueue;
use crate::text::Word;
use crate::{Errno, KernelDrops, Link, LinkError, LinkStatus, Nanos, Sent, Watch};

/// Socket options that nix has no names for. Its macro is made for this, and keeps the system call in nix: these set
/// plain values that the kernel copies, none of which holds an address.
mod options {
    use nix::{setsockopt_impl, sockopt_impl};

    sockopt_impl!(
        /// Tell of each frame what VLAN tag was taken out of it.
        Auxdata, SetOnly, libc::SOL_PACKET, libc::PACKET_AUXDATA, bool);
    sockopt_impl!(
        /// Tell of each frame what is left to hardware.
        VnetHdr, SetOnly, libc::SOL_PACKET, libc::PACKET_VNET_HDR, bool);
    sockopt_impl!(
        /// Do not show what this machine sends.
        IgnoreOutgoing, SetOnly, libc::SOL_PACKET, libc::PACKET_IGNORE_OUTGOING, bool);
    sockopt_impl!(
        /// Keep the interface promiscuous while the socket is open.
        AddMembership, SetOnly, libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP, libc::packet_mreq);
}

/// Frames that wait while the model is busy.
const RECEIVE_BUFFER: usize = 8 << 20;
/// Frames of no interest that are passed over in one call.
const MOST_SKIPPED: usize = 16;
const ETHERNET: u16 = 1;
const LOOPBACK: u16 = 772;
const TAG_PROTOCOL: u16 = 0x8100;

/// Which interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PacketSocketConfig {
    /// Its name, in the network namespace of the thread that opens it.
    pub name: String,
    /// Also frames for other MAC addresses, which the interface would otherwise not take from its own wire.
    pub promiscuous: bool,
}

/// An interface that the kernel goes on using: its stack sees the same frames. What this machine sends over the
/// interface, this socket's own frames included, is not received.
///
/// Whole frames of a wire come out, whatever the interface offloads: VLAN tags are put back, missing checksums
/// computed, segments larger than a frame (TSO, GRO) cut. What cannot be cut is counted as unusable.
///
/// A poll that finds nothing makes some later ones skip the system call, for 20 µs at most. The status is looked up by
/// name in the network namespace of the thread that asks; while the name is not found there, it stays what it was, so
/// that a MAC goes on asking for frames and learns whether the interface was moved or removed.
pub struct PacketSocket {
    socket: OwnedFd,
    name: Word,
    index: usize,
    speed_mbps: u32,
    buffer: Box<[u8]>,
    control: Vec<u8>,
    /// Frames that were cut from one segment.
    segments: FrameQueue,
    idle: Backoff,
    blocked: Backoff,
    status: StatusCache,
    /// The interface was removed, and that was told.
    gone: bool,
    now: Nanos,
    drops: Live<KernelDrops>,
}

/// What one system call brought.
enum Taken {
    /// One frame or several, now in the queue.
    Frames,
    /// One that is not for us.
    Other,
    Nothing,
}

impl PacketSocket {
    /// Opens a socket on an interface that carries Ethernet.
    ///
    /// # Errors
    /// No permission, no such interface, not Ethernet, or what else the kernel answers.
    pub fn open(config: &PacketSocketConfig) -> Result<PacketSocket, LinkError> {
        let name = check_name(&config.name)?;
        let os = |call| move |errno: Os| LinkError::Os { call, name, errno: Errno(errno as i32) };
        let found = find(&config.name).map_err(os("getifaddrs"))?.ok_or(LinkError::NoInterface { name })?;
        let address = found.address.filter(|address| [ETHERNET, LOOPBACK].contains(&address.hatype()));
        let address = address.ok_or(LinkError::NotEthernet { name })?;
        // Until it is bound the socket hears every interface; `take` drops what came in between.
        let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
        let socket =
            socket(AddressFamily::Packet, SockType::Raw, flags, SockProtocol::EthAll).map_err(|errno| {
                match errno {
                    Os::EPERM | Os::EACCES => LinkError::PacketSocketNotPermitted { name },
                    _ => os("opening a packet socket")(errno),
                }
            })?;
        setsockopt(&socket, options::VnetHdr, &true).map_err(os("PACKET_VNET_HDR"))?;
        setsockopt(&socket, options::Auxdata, &true).map_err(os("PACKET_AUXDATA"))?;
        // Kernels before 4.20 do not know it: `take` drops such frames too, this only saves looking at them.
        match setsockopt(&socket, options::IgnoreOutgoing, &true) {
            Ok(()) | Err(Os::ENOPROTOOPT) => {}
            Err(errno) => return Err(os("PACKET_IGNORE_OUTGOING")(errno)),
        }
        // Beyond the limit for everybody where we may, up to it otherwise.
        if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&socket, sockopt::RcvBuf, &RECEIVE_BUFFER).map_err(os("SO_RCVBUF"))?;
        }
        if config.promiscuous {
            let membership = libc::packet_mreq {
                mr_ifindex: address.ifindex() as i32,
                mr_type: libc::PACKET_MR_PROMISC as u16,
                mr_alen: 0,
                mr_address: [0; 8],
            };
            setsockopt(&socket, options::AddMembership, &membership).map_err(os("PACKET_ADD_MEMBERSHIP"))?;
        }
        bind(socket.as_raw_fd(), &address).map_err(os("bind"))?;
        Ok(PacketSocket {
            socket,
            name,
            index: address.ifindex(),
            speed_mbps: speed(&config.name),
            buffer: vec![0; LARGEST_FRAME].into(),
            control: nix::cmsg_space!(libc::tpacket_auxdata),
            segments: FrameQueue::default(),
            idle: Backoff::default(),
            blocked: Backoff::default(),
            status: StatusCache::default(),
            gone: false,
            now: 0,
            drops: Live::new(),
        })
    }

    /// Frames that could not be passed on.
    pub fn drops(&self) -> Watch<KernelDrops> {
        self.drops.watch()
    }

    /// The interface was removed.
    fn removed(&mut self) -> LinkError {
        self.gone = true;
        LinkError::InterfaceGone { name: self.name }
    }

    fn error(&mut self, call: &'static str, errno: Os) -> LinkError {
        match errno {
            Os::ENXIO | Os::ENODEV => self.removed(),
            _ => LinkError::Os { call, name: self.name, errno: Errno(errno as i32) },
        }
    }

    fn take(&mut self) -> Result<Taken, LinkError> {
        let mut vnet = [0; VnetHeader::LEN];
        let mut parts = [IoSliceMut::new(&mut vnet), IoSliceMut::new(&mut self.buffer)];
        let received = recvmsg::<LinkAddr>(
            self.socket.as_raw_fd(),
            &mut parts,
            Some(&mut self.control),
            MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_TRUNC,
        );
        let message = match received {
            Ok(message) => message,
            Err(Os::EAGAIN | Os::EINTR) => return Ok(Taken::Nothing),
            Err(Os::ENETDOWN) => {
                // Said once, both when it goes down and when it is removed; the socket is unbound in the latter case.
                self.status.forget();
                let bound = getsockname::<SockaddrStorage>(self.socket.as_raw_fd());
                let bound = bound.ok().and_then(|address| Some(address.as_link_addr()?.ifindex()));
                return match bound == Some(self.index) {
                    true => Ok(Taken::Nothing),
                    false => Err(self.removed()),
                };
            }
            Err(errno) => return Err(self.error("reading from a packet socket", errno)),
        };
        let mine = message
            .address
            .is_some_and(|from| from.ifindex() == self.index && from.pkttype() != libc::PACKET_OUTGOING);
        if !mine {
            return Ok(Taken::Other);
        }
        let tag = message.cmsgs().ok().and_then(|mut messages| {
            messages.find_map(|message| match message {
                ControlMessageOwned::Unknown(unknown) => vlan_tag(&unknown.data_bytes),
                _ => None,
            })
        });
        let len = message.bytes.checked_sub(VnetHeader::LEN);
        let finished = len
            .and_then(|len| self.buffer.get(..len))
            .and_then(|frame| finish_into(&mut self.segments, frame, VnetHeader::read(&vnet), tag));
        if finished.is_none() {
            add(&self.drops.rx_unusable, 1);
            return Ok(Taken::Other);
        }
        Ok(Taken::Frames)
    }
}

/// The tag in a `struct tpacket_auxdata` (linux/if_packet.h), the only control message that was asked for.
fn vlan_tag(auxdata: &[u8]) -> Option<Tag> {
    let status = u32::from_ne_bytes(*auxdata.first_chunk()?);
    let word = |at: usize| Some(u16::from_ne_bytes(*auxdata.get(at..)?.first_chunk()?));
    let (tci, protocol) = (word(16)?, word(18)?);
    if status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let protocol = if status & libc::TP_STATUS_VLAN_TPID_VALID != 0 { protocol } else { TAG_PROTOCOL };
    let ([a, b], [c, d]) = (protocol.to_be_bytes(), tci.to_be_bytes());
    Some([a, b, c, d])
}

/// What the namespace of the calling thread says of an interface.
#[derive(Clone, Copy)]
struct Found {
    /// `None` for interfaces without link-layer addresses, such as TUN.
    address: Option<LinkAddr>,
    /// Up with a carrier.
    running: bool,
}

fn find(name: &str) -> Result<Option<Found>, Os> {
    let running = InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING;
    let entries = getifaddrs()?.filter(|entry| entry.interface_name == name);
    // One entry per address; all have the flags, one may have the link-layer address.
    Ok(entries.fold(None, |found: Option<Found>, entry| {
        let address = entry.address.and_then(|address| address.as_link_addr().copied());
        Some(Found {
            address: found.and_then(|found| found.address).or(address),
            running: entry.flags.contains(running),
        })
    }))
}

/// Mbit/s as the driver says; 10,000 where it does not know, as with every link without a speed.
fn speed(name: &str) -> u32 {
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/speed")).unwrap_or_default();
    text.trim().parse().ok().filter(|&speed| speed > 0).unwrap_or(LinkStatus::UP_10G.speed_mbps)
}

impl Link for PacketSocket {
    /// Busy while the interface is down or its queue is full. A frame that the interface cannot carry, because it
    /// exceeds the MTU or lacks a header, is dropped and counted, as a switch would. An interface that is up without a
    /// carrier takes frames and drops them without a word: the [`status`](Link::status) says when not to send.
    fn transmit(&mut self, frame: &[u8], now: Nanos) -> Result<Sent, LinkError> {
        self.now = now;
        if self.blocked.skips(now) {
            return Ok(Sent::Busy);
        }
        let parts = [IoSlice::new(&[0; VnetHeader::LEN]), IoSlice::new(frame)];
        let sent = sendmsg::<LinkAddr>(self.socket.as_raw_fd(), &parts, &[], MsgFlags::MSG_DONTWAIT, None);
        let Err(errno) = sent else {
            self.blocked.something();
            return Ok(Sent::Accepted);
        };
        match errno {
            Os::EAGAIN | Os::ENOBUFS | Os::EINTR | Os::ENETDOWN => {
                if errno == Os::ENETDOWN {
                    self.status.forget();
                }
                self.blocked.nothing(now);
                Ok(Sent::Busy)
            }
            Os::EMSGSIZE => {
                add(&self.drops.tx_oversize, 1);
                Ok(Sent::Accepted)
            }
            Os::EINVAL => {
                add(&self.drops.tx_refused, 1);
                Ok(Sent::Accepted)
            }
            _ => Err(self.error("writing to a packet socket", errno)),
        }
    }

    fn receive(&mut self, frame: &mut Vec<u8>, now: Nanos) -> Result<bool, LinkError> {
        self.now = now;
        frame.clear();
        if self.segments.pop(frame) {
            return Ok(true);
        }
        if self.idle.skips(now) {
            return Ok(false);
        }
        for _ in 0..MOST_SKIPPED {
            match self.take()? {
                Taken::Frames => {
                    self.idle.something();
                    return Ok(self.segments.pop(frame));
                }
                Taken::Other => {}
                Taken::Nothing => {
                    self.idle.nothing(now);
                    return Ok(false);
                }
            }
        }
        Ok(false)
    }

    fn status(&mut self) -> LinkStatus {
        // While it is down nobody sends or receives, so `now` stands still, and it is asked each time.
        if (self.status.is_old(self.now) || !self.status.up)
            && let Ok(Some(found)) = find(self.name.as_str())
        {
            // The same name may be another interface's by now.
            let ours = found.address.is_some_and(|address| address.ifindex() == self.index);
            self.status.up = found.running && ours;
        }
        if self.status.up && !self.gone {
            LinkStatus { up: true, speed_mbps: self.speed_mbps }
        } else {
            LinkStatus::DOWN
        }
    }
}
