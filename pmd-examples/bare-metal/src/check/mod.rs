//! Everything that the driver can do, from one NIC to another: two of QEMU's 82576 on one hub.
//!
//! [`Bench`] is the two ports, `a` that sends and `b` that receives. Each check is a function that is given one; it says
//! what it found with `ensure!`, and the first thing that is not as it must be ends it. The checks are grouped by
//! how the ports are configured.

mod filters;
mod frames;
mod life;
mod offloads;
mod queues;

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use pmd_igb::{Config, Configured, Failed, Probed, Running, RxQueue, Started, TxQueue};
use vfio_hal::clock::Deadline;
use vfio_hal::dma::IovaSpace;
use vfio_hal::dma::pool::{Buf, Burst, Cache, MAGAZINE, Pool, Verdict};
use vfio_hal::pmd::{MacAddr, PortError};
use vfio_hal::{Clock, Device};

use crate::ping::{memory, receive_error, send_error};
use crate::say;

/// Buffers for the largest check: 16 queues each way on both.
const BUFFERS: u32 = 30_000;

/// How long a frame may take from one NIC to the other.
const TRAVEL: Duration = Duration::from_millis(300);

/// How long nothing must come for it to count as lost.
const SILENCE: Duration = Duration::from_millis(20);

/// What a check found wrong.
pub(crate) type Checked = Result<(), Wrong>;

/// Why a check failed.
#[derive(Debug)]
pub(crate) enum Wrong {
    Port(PortError),
    Found(String),
}

impl<E: Into<PortError>> From<E> for Wrong {
    fn from(error: E) -> Wrong {
        Wrong::Port(error.into())
    }
}

impl core::fmt::Display for Wrong {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Wrong::Port(error) => error.fmt(f),
            Wrong::Found(what) => f.write_str(what),
        }
    }
}

/// Returns an error with a formatted text if something is not true.
macro_rules! ensure {
    ($condition:expr, $($text:tt)*) => {
        if !$condition {
            return Err($crate::check::Wrong::Found(alloc::format!($($text)*)));
        }
    };
}
use ensure;

/// Two ports on one hub.
pub(crate) struct Bench {
    a: Side,
    b: Side,
    space: IovaSpace,
    pool: Pool,
    cache: Cache,
    clock: Arc<dyn Clock>,
}

/// A started port.
pub(crate) struct Side {
    port: Running,
    rx: Vec<RxQueue>,
    tx: Vec<TxQueue>,
}

/// A frame that was received.
#[derive(Debug)]
pub(crate) struct Seen {
    queue: usize,
    bytes: Vec<u8>,
    segments: usize,
    vlan: Option<u16>,
    hash: Option<u32>,
    ip: Verdict,
    l4: Verdict,
}

impl Side {
    fn start(configured: Configured) -> Result<Side, PortError> {
        let Started { port, rx, tx } = configured.start().map_err(|Failed { error, .. }| error)?;
        Ok(Side { port, rx, tx })
    }

    fn mac(&self) -> MacAddr {
        self.port.info().mac
    }

    fn stop(self) -> Result<Probed, PortError> {
        Ok(self.port.stop(self.rx, self.tx).map_err(|Failed { error, .. }| error)?.unconfigure())
    }
}

impl Bench {
    /// Starts both ports and waits for their links.
    fn start(
        probed: [Probed; 2],
        (space, pool): (&IovaSpace, &Pool),
        clock: &Arc<dyn Clock>,
        configs: [Config; 2],
    ) -> Result<Bench, PortError> {
        let [a, b] = probed;
        let [config_a, config_b] = configs;
        let a = Side::start(a.configure(space, pool, config_a).map_err(|Failed { error, .. }| error)?)?;
        let b = Side::start(b.configure(space, pool, config_b).map_err(|Failed { error, .. }| error)?)?;
        let mut bench = Bench {
            a,
            b,
            space: space.clone(),
            pool: pool.clone(),
            cache: pool.cache(),
            clock: clock.clone(),
        };
        bench.wait_for_links()?;
        Ok(bench)
    }

    fn wait_for_links(&mut self) -> Result<(), PortError> {
        for side in [&mut self.a, &mut self.b] {
            if !side.port.wait_for_link(Duration::from_secs(5))?.up {
                return Err(PortError::Invalid { what: "no link" });
            }
        }
        Ok(())
    }

    fn stop(self) -> Result<[Probed; 2], PortError> {
        Ok([self.a.stop()?, self.b.stop()?])
    }

    /// Returns a buffer, or a chain of buffers, with these bytes.
    fn buf(&mut self, bytes: &[u8]) -> Result<Buf, Wrong> {
        self.chain(bytes, self.pool.data_room() as usize)
    }

    /// Returns a chain of buffers with at most `most` bytes each.
    fn chain(&mut self, bytes: &[u8], most: usize) -> Result<Buf, Wrong> {
        let empty = PortError::Invalid { what: "the pool is empty" };
        let mut head: Option<Buf> = None;
        for part in bytes.chunks(most) {
            let mut buf = self.cache.alloc().ok_or(empty)?;
            ensure!(buf.fill(part), "a buffer does not take {} bytes", part.len());
            match &mut head {
                None => head = Some(buf),
                Some(head) => head.chain(buf),
            }
        }
        Ok(head.ok_or(empty)?)
    }

    /// Sends from queue `queue` of `a`.
    fn send_on(&mut self, queue: usize, buf: Buf) -> Checked {
        let mut burst = Burst::new(MAGAZINE);
        if burst.push(buf).is_err() {
            return Err(Wrong::Found("a new burst has no room".into()));
        }
        let end = Deadline::after(&*self.clock, TRAVEL);
        while !burst.is_empty() {
            self.a.tx[queue].tx_burst(&mut self.cache, &mut burst).map_err(send_error)?;
            ensure!(burst.is_empty() || !end.passed(&*self.clock), "the transmit ring stays full");
        }
        Ok(())
    }

    fn send(&mut self, bytes: &[u8]) -> Checked {
        let buf = self.buf(bytes)?;
        self.send_on(0, buf)
    }

    /// Takes what `b` has received, until there are `count` frames or nothing comes any more.
    fn receive(&mut self, count: usize) -> Result<Vec<Seen>, Wrong> {
        let mut seen = Vec::new();
        let mut burst = Burst::new(MAGAZINE);
        let mut end = Deadline::after(&*self.clock, if count == 0 { SILENCE } else { TRAVEL });
        loop {
            for (queue, rx) in self.b.rx.iter_mut().enumerate().filter(|(_, rx)| rx.is_running()) {
                rx.rx_burst(&mut self.cache, &mut burst).map_err(receive_error)?;
                while let Some(buf) = burst.take() {
                    seen.push(Seen {
                        queue,
                        bytes: buf.segments().flat_map(|segment| segment.data().iter().copied()).collect(),
                        segments: buf.segment_count(),
                        vlan: buf.vlan(),
                        hash: buf.hash(),
                        ip: buf.ip_checksum(),
                        l4: buf.l4_checksum(),
                    });
                    self.cache.free(buf);
                    end = Deadline::after(&*self.clock, TRAVEL);
                }
            }
            if (count != 0 && seen.len() >= count) || end.passed(&*self.clock) {
                return Ok(seen);
            }
        }
    }

    /// Sends a frame and returns it as it came.
    fn pass(&mut self, bytes: &[u8]) -> Result<Seen, Wrong> {
        let buf = self.buf(bytes)?;
        self.pass_buf(buf)
    }

    fn pass_buf(&mut self, buf: Buf) -> Result<Seen, Wrong> {
        self.send_on(0, buf)?;
        let mut seen = self.receive(1)?;
        ensure!(seen.len() == 1, "{} frames came instead of one", seen.len());
        seen.pop().ok_or(Wrong::Found("nothing came".into()))
    }

    /// Sends a frame that must not come.
    fn lose(&mut self, bytes: &[u8]) -> Checked {
        self.send(bytes)?;
        let seen = self.receive(0)?;
        ensure!(seen.is_empty(), "a frame came that must not");
        Ok(())
    }

    /// Returns an ordinary frame from `a` to `b`.
    fn frame(&self, len: usize, seed: usize) -> Vec<u8> {
        frames::plain(self.b.mac(), self.a.mac(), len, seed)
    }
}

/// A check: its name, and what it does.
type Check = (&'static str, fn(&mut Bench) -> Checked);

/// Checks that go with one configuration.
struct Group {
    configs: fn() -> [Config; 2],
    checks: &'static [Check],
}

pub(crate) fn run(nics: Vec<(Arc<dyn Device>, Probed)>, clock: &Arc<dyn Clock>) -> Result<(), PortError> {
    let none = PortError::Invalid { what: "two NICs are needed" };
    let (devices, probed): (Vec<_>, Vec<_>) = nics.into_iter().unzip();
    let mut probed: [Probed; 2] = probed.try_into().map_err(|_| none)?;
    let (space, pool) = memory(devices.first().ok_or(none)?, BUFFERS)?;
    devices.iter().skip(1).try_for_each(|device| space.attach(device))?;
    let mut failed = 0;
    life::inspect(&mut probed[0]).unwrap_or_else(|wrong| {
        say!("not ok inspect: {wrong}");
        failed += 1;
    });
    for group in [filters::GROUP, offloads::GROUP, queues::RSS, queues::ALL, queues::SMALL] {
        let mut bench = Bench::start(probed, (&space, &pool), clock, (group.configs)())?;
        for (name, check) in group.checks {
            match check(&mut bench) {
                Ok(()) => say!("ok {name}"),
                Err(wrong) => {
                    say!("not ok {name}: {wrong}");
                    failed += 1;
                }
            }
            // What a check left over does not disturb the next.
            let _ = bench.receive(0);
        }
        probed = bench.stop()?;
        failed += missing(&pool);
    }
    let mut bench = Bench::start(probed, (&space, &pool), clock, life::configs())?;
    for (name, check) in life::CHECKS {
        match check(bench) {
            Ok(back) => bench = back,
            Err(wrong) => {
                say!("not ok {name}: {wrong}");
                return Err(PortError::Invalid { what: "the ports are lost" });
            }
        }
        say!("ok {name}");
    }
    bench.stop()?;
    failed += missing(&pool);
    if failed != 0 {
        return Err(PortError::Invalid { what: "there are checks that failed" });
    }
    Ok(())
}

/// Says if buffers are missing where none is in use; returns how many such faults there are.
fn missing(pool: &Pool) -> usize {
    let (home, all, leaked) = (pool.available(), pool.capacity(), pool.leaked());
    if home == all && leaked == 0 {
        return 0;
    }
    say!("not ok buffers: {home} of {all} are home, {leaked} leaked");
    1
}
