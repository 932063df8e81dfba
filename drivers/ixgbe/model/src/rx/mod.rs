//! Receive, in the order a frame goes:
//!
//! 1. [`mac`]: length, PAUSE, address and VLAN filters ([`filter`]), counters.
//! 2. [`steer`]: checksum verdicts ([`verify`]), filters, RSS, the queue.
//! 3. [`coalesce`]: segments of a TCP flow become one packet.
//! 4. [`buffer`]: waits here while the queue has no descriptor.
//! 5. [`queue`]: into memory ([`split`]), and the descriptor back ([`meta`]).
//!
//! Key types: [`Rx`]. Neighbours: the model's step feeds it from the link or from the loopback of transmit.

pub(crate) mod buffer;
mod coalesce;
pub(crate) mod filter;
pub(crate) mod mac;
pub(crate) mod meta;
pub(crate) mod queue;
pub(crate) mod split;
pub(crate) mod steer;
mod verify;

use pmd_ixgbe::desc;
use pmd_ixgbe::regs::{
    EICR, HLREG0, Ixgbe, MPC, QBRC, QPRC, QPRDC, RDBA, RDLEN, RNBC, RQSMR, RSCCTL, RXDCTL, RXDGBC, RXDGPC,
    RXPBSIZE, SRRCTL,
};
use pmd_links::Nanos;
use vfio_hal::regs::Register;
use vfio_user_kit::{DmaBus, Doorbells};

use crate::checksum::crc32;
use crate::classes::CLASSES;
use crate::clock::Clock;
use crate::flow_control::FlowControl;
use crate::packet::Parsed;
use crate::regs::RegisterFile;
use crate::shared::{Core, QUEUES, doorbell, queues};
use crate::state::{StateError, check, state};
use buffer::PacketBuffer;
use coalesce::{Coalescer, Large, Offer};
use mac::Mac;
use queue::{Outcome, RxQueue};
use steer::{Steering, Target};

/// The receive unit.
pub(crate) struct Rx {
    pub(crate) mac: Mac,
    pub(crate) steering: Steering,
    pub(crate) queues: Box<[RxQueue]>,
    /// By traffic class.
    pub(crate) buffers: Box<[PacketBuffer]>,
    coalescer: Coalescer,
    /// When RXDCTL.ENABLE of a queue will read as written.
    enable_at: Box<[Nanos; QUEUES]>,
    /// Queues that wrote descriptors back in this step.
    wrote: u128,
    /// Those of them with a packet that asks for an interrupt at once.
    urgent: u128,
    /// A queue may hold a coalesced packet.
    coalescing: bool,
}

/// Why a packet is still here.
enum Held {
    /// It is delivered or gone.
    No,
    /// The queue has no descriptors.
    Yes,
}

state!(Rx { steering, queues, buffers, enable_at, wrote, urgent } without {
    mac: Mac::default(),
    // Between two steps nothing is being coalesced.
    coalescer: Coalescer::default(),
    coalescing: false,
});

impl Rx {
    /// Checks what came from outside.
    pub(crate) fn sound(&self) -> Result<(), StateError> {
        check(self.queues.len() == QUEUES, "another number of receive queues")?;
        self.queues.iter().enumerate().try_for_each(|(number, queue)| queue.sound(number))?;
        check(self.buffers.len() == CLASSES, "another number of packet buffers")?;
        for (class, buffer) in self.buffers.iter().enumerate() {
            buffer.sound(class)?;
        }
        self.steering.flow_director.sound()
    }

    /// Reads anew what only the registers hold.
    pub(crate) fn arrive(&mut self, regs: &RegisterFile) {
        self.mac.filter.reload(regs);
        self.steering.arrive(regs);
    }

    pub(crate) fn new() -> Rx {
        Rx {
            mac: Mac::default(),
            steering: Steering::default(),
            queues: (0..QUEUES).map(RxQueue::new).collect(),
            buffers: (0..CLASSES).map(|_| PacketBuffer::default()).collect(),
            coalescer: Coalescer::default(),
            enable_at: Box::new([0; QUEUES]),
            wrote: 0,
            urgent: 0,
            coalescing: false,
        }
    }

    /// Back to power-on: queues stopped, waiting packets lost.
    pub(crate) fn reset(&mut self, core: &mut Core, doorbells: &dyn Doorbells) {
        let waiting: usize = self.buffers.iter_mut().map(PacketBuffer::clear).sum();
        core.events.counters.rx_flushed += (waiting + self.coalescer.clear()) as u64;
        for queue in 0..QUEUES {
            self.queues[queue] = RxQueue::new(queue);
            self.queues[queue].set_srrctl(core.regs.at::<SRRCTL>(queue));
            doorbells.store(doorbell::rx(queue), 0);
        }
        self.steering.reset();
        self.mac.filter.reload(&core.regs);
        self.wrote = 0;
        self.urgent = 0;
    }

    /// RXDCTL was written: starts or stops the queue.
    pub(crate) fn control(&mut self, core: &Core, doorbells: &dyn Doorbells, queue: usize) {
        let value = core.regs.at::<RXDCTL>(queue);
        let ring = &mut self.queues[queue];
        ring.strip_vlan = value.vme();
        let enable = value.enable();
        if enable == ring.enabled {
            return;
        }
        if enable {
            ring.start(core.regs.at::<RDBA>(queue).bits(), core.regs.at::<RDLEN>(queue).len());
            doorbells.store(doorbell::rx(queue), 0);
        } else {
            ring.stop();
        }
        self.enable_at[queue] = core.now.saturating_add(core.config.timing.queue_enable.as_nanos() as Nanos);
    }

    /// RXDCTL as read: ENABLE follows the write after a while.
    pub(crate) fn read_control(&self, core: &Core, queue: usize) -> u32 {
        let value = core.regs.at::<RXDCTL>(queue);
        value.with_enable(value.enable() != (core.now < self.enable_at[queue])).bits()
    }

    /// Takes one frame off the wire.
    pub(crate) fn receive(
        &mut self,
        core: &mut Core,
        flow: &mut FlowControl,
        clock: &Clock,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        frame: &mut Vec<u8>,
    ) {
        let Some(incoming) = self.mac.receive(core, flow, frame) else { return };
        let Some((mut target, copies)) = self.steering.steer(core, frame, &incoming) else {
            core.events.counters.rx_filter_drop += 1;
            return;
        };
        if clock.stamp_rx(core, frame, &incoming.parsed, target.ieee1588) {
            target.meta.status |= desc::rx::TS;
        }
        for pool in (0..64).filter(|pool| copies >> pool & 1 == 1) {
            let copy = self.steering.copy(core, frame, &incoming.parsed, pool, &target);
            self.hand_over(core, dma, doorbells, &incoming.parsed, copy, &mut frame.clone());
        }
        self.hand_over(core, dma, doorbells, &incoming.parsed, target, frame);
    }

    /// A packet on its way to its queue.
    fn hand_over(
        &mut self,
        core: &mut Core,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        parsed: &Parsed,
        mut target: Target,
        frame: &mut Vec<u8>,
    ) {
        if self.queues[target.queue].splits() {
            target.meta.header = split::header(core.regs.get(), frame, parsed);
        }
        if !core.regs.get::<HLREG0>().rxcrcstrp() {
            let fcs = crc32(frame);
            frame.extend_from_slice(&fcs.to_le_bytes());
        }
        let mut packet = &mut frame[..];
        let mut shift = 0;
        if self.queues[target.queue].strip_vlan
            && let Some(tag) = parsed.vlan
        {
            shift = 4;
            packet.copy_within(0..parsed.tag_at(), 4);
            packet = &mut packet[4..];
            target.meta.vlan = tag;
            target.meta.header = target.meta.header.saturating_sub(4);
            target.meta.status |= desc::rx::VP;
        }
        if self.queues[target.queue].coalesces()
            && (self.coalescing || core.regs.at::<RSCCTL>(target.queue).rscen())
        {
            self.coalescing = true;
            let buffer = self.queues[target.queue].buffer_bytes();
            let (ended, taken) =
                match self.coalescer.offer(&core.regs, packet, parsed, shift, &target, buffer) {
                    Offer::Taken(ended) => (ended, true),
                    Offer::Refused(ended) => (ended, false),
                };
            if let Some(large) = ended {
                self.place_large(core, dma, doorbells, large);
            }
            if taken {
                return;
            }
        }
        self.place(core, dma, doorbells, target, packet, &[]);
    }

    /// Ends what is being coalesced.
    pub(crate) fn finish_coalescing(&mut self, core: &mut Core, dma: &dyn DmaBus, doorbells: &dyn Doorbells) {
        while let Some(large) = self.coalescer.take() {
            self.place_large(core, dma, doorbells, large);
        }
        self.coalescing = false;
    }

    fn place_large(&mut self, core: &mut Core, dma: &dyn DmaBus, doorbells: &dyn Doorbells, large: Large) {
        // One segment alone is no coalesced packet.
        let starts = if large.starts.len() > 1 { &large.starts[..] } else { &[] };
        self.place(core, dma, doorbells, large.target, &large.bytes, starts);
        self.coalescer.recycle(large);
    }

    /// Delivers a packet, or lets it wait in the packet buffer.
    fn place(
        &mut self,
        core: &mut Core,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        target: Target,
        packet: &[u8],
        starts: &[usize],
    ) {
        let class = target.class;
        if self.buffers[class].is_empty()
            && let Held::No = self.deliver(core, dma, doorbells, &target, packet, starts)
        {
            return;
        }
        let size = core.regs.at::<RXPBSIZE>(class).size() as usize * 1024;
        if !self.buffers[class].push(target, packet, starts, size) {
            let packets = starts.len().max(1);
            core.regs.count_at::<MPC>(class, packets as u32);
            core.events.counters.rx_missed += packets as u64;
            core.irq.raise(EICR::default().with_rx_miss(true));
        }
    }

    /// Delivers what waited, `budget` packets of each class at most. Returns whether any went.
    pub(crate) fn drain(
        &mut self,
        core: &mut Core,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        budget: usize,
    ) -> bool {
        let mut moved = false;
        for class in 0..CLASSES {
            if !self.buffers[class].is_empty() {
                moved |= self.drain_class(core, dma, doorbells, budget, class);
            }
        }
        moved
    }

    /// Whether no packet waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffers.iter().all(PacketBuffer::is_empty)
    }

    fn drain_class(
        &mut self,
        core: &mut Core,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        budget: usize,
        class: usize,
    ) -> bool {
        let mut buffer = std::mem::take(&mut self.buffers[class]);
        let mut moved = false;
        for _ in 0..budget {
            let Some(waiting) = buffer.front() else { break };
            if let Held::Yes =
                self.deliver(core, dma, doorbells, &waiting.target, &waiting.frame, &waiting.starts)
            {
                if !waiting.counted {
                    waiting.counted = true;
                    core.regs.count_at::<RNBC>(class, 1);
                }
                break;
            }
            buffer.pop();
            moved = true;
        }
        self.buffers[class] = buffer;
        moved
    }

    fn deliver(
        &mut self,
        core: &mut Core,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        target: &Target,
        packet: &[u8],
        starts: &[usize],
    ) -> Held {
        let packets = starts.len().max(1) as u32;
        let queue = &mut self.queues[target.queue];
        let counter = stat_index::<RQSMR>(core, target.queue);
        if !queue.enabled || queue.halted {
            return dropped(core, counter, packets);
        }
        match queue.deliver(dma, doorbells, packet, &target.meta, starts) {
            Outcome::Delivered => {
                self.wrote |= 1 << target.queue;
                if target.immediate {
                    self.urgent |= 1 << target.queue;
                }
                core.events.counters.rx_delivered += u64::from(packets);
                core.regs.count_at::<RXDGPC>(0, packets);
                core.regs.count_bytes::<RXDGBC>(0, packet.len());
                core.regs.count_at::<QPRC>(counter, packets);
                core.regs.count_bytes::<QBRC>(counter, packet.len());
                Held::No
            }
            Outcome::NoDescriptors if queue.drop_en || queue.drop_anyway => dropped(core, counter, packets),
            Outcome::NoDescriptors => Held::Yes,
            Outcome::Impossible(reason) => {
                core.events.rx_setup(target.queue, reason);
                Held::No
            }
            Outcome::Fault(fault) => {
                core.events.dma_fault(fault);
                core.irq.raise(EICR::default().with_pci_exception(true));
                Held::No
            }
        }
    }

    /// Raises the interrupts of queues that wrote back.
    pub(crate) fn interrupts(&mut self, core: &mut Core) {
        queues(std::mem::take(&mut self.wrote)).for_each(|queue| core.irq.raise_rx(queue));
        queues(std::mem::take(&mut self.urgent)).for_each(|queue| core.irq.hurry_rx(queue));
    }
}

/// QPRDC counts what a queue dropped for want of descriptors or because it is off (8.2.3.23.74).
fn dropped(core: &mut Core, counter: usize, packets: u32) -> Held {
    core.events.counters.rx_no_descriptor += u64::from(packets);
    core.regs.count_at::<QPRDC>(counter, packets);
    Held::No
}

/// The statistics register that a queue is mapped to (8.2.3.23.71, .73): 4 bits for each of four queues.
#[inline]
pub(crate) fn stat_index<R: Register<Map = Ixgbe>>(core: &Core, queue: usize) -> usize {
    (core.regs.at::<R>(queue / 4).to_raw() >> (queue % 4 * 8) & 0xF) as usize
}
