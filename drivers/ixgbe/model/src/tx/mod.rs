//! Transmit, in the order a packet goes, once the [`arbiter`] has chosen between traffic classes:
//!
//! 1. [`queue`]: descriptors ([`descriptor`]) and their bytes out of memory.
//! 2. [`assemble`]: checksums and tag ([`offload`]), or cut into frames ([`segment`]).
//! 3. [`mac`]: padding, counters, the link.
//! 4. back in [`queue`]: done is reported.
//!
//! A descriptor that makes no sense loses its packet, is counted and reported done: the silicon would hang or send
//! rubbish, a model that names the mistake helps more. A memory access that fails stops the queue until it is disabled
//! and enabled again, as a hung queue must be.
//!
//! Key types: [`Tx`]. Neighbours: the model's step runs it with the way out.

mod arbiter;
mod assemble;
mod descriptor;
pub(crate) mod mac;
mod offload;
pub(crate) mod queue;
mod segment;

use pmd_ixgbe::regs::{
    DMATXCTL, MTQC, QBTC, QPTC, RTTDCS, SECTXCTRL, TDBA, TDLEN, TQSM, TXDCTL, TXDGBC, TXDGPC,
};
use pmd_links::{Nanos, Sent};
use vfio_user_kit::{DmaBus, Doorbells};

use crate::classes::{self, CLASSES};
use crate::rx::stat_index;
use crate::shared::{Core, QUEUES, doorbell, queues};
use crate::state::{StateError, check, state};
use arbiter::Credits;
use queue::{Progress, TxQueue};

/// Packets a queue may send before the next one has its turn.
const TURN: usize = 64;

/// The transmit unit.
pub(crate) struct Tx {
    pub(crate) queues: Box<[TxQueue]>,
    enabled: u128,
    enable_at: Box<[Nanos; QUEUES]>,
    /// The queue that has the next turn.
    turn: usize,
    /// What each class may still send.
    credits: Credits,
}

state!(Tx { queues, enable_at, turn, credits } without { enabled: 0 });

impl Tx {
    /// Checks what came from outside.
    pub(crate) fn sound(&self) -> Result<(), StateError> {
        check(self.queues.len() == QUEUES && self.turn < QUEUES, "another number of transmit queues")?;
        self.queues.iter().enumerate().try_for_each(|(number, queue)| queue.sound(number))
    }

    /// Gathers what the queues say.
    pub(crate) fn arrive(&mut self) {
        let enabled = self.queues.iter().enumerate().filter(|(_, queue)| queue.enabled);
        self.enabled = enabled.fold(0, |set, (number, _)| set | 1 << number);
    }

    pub(crate) fn new() -> Tx {
        Tx {
            queues: (0..QUEUES).map(TxQueue::new).collect(),
            enabled: 0,
            enable_at: Box::new([0; QUEUES]),
            turn: 0,
            credits: Credits::default(),
        }
    }

    /// Back to power-on: queues stopped.
    pub(crate) fn reset(&mut self, doorbells: &dyn Doorbells) {
        *self = Tx::new();
        (0..QUEUES).for_each(|queue| doorbells.store(doorbell::tx(queue), 0));
    }

    /// TXDCTL was written. A queue starts only once DMATXCTL.TE is set (4.6.8), and its ENABLE reads 0 until then.
    pub(crate) fn control(&mut self, core: &Core, doorbells: &dyn Doorbells, queue: usize) {
        let value = core.regs.at::<TXDCTL>(queue);
        let ring = &mut self.queues[queue];
        ring.set_threshold(value.wthresh());
        let enable = value.enable() && core.regs.get::<DMATXCTL>().te();
        if enable == ring.enabled {
            return;
        }
        if enable {
            ring.start(core.regs.at::<TDBA>(queue).bits(), core.regs.at::<TDLEN>(queue).len());
            doorbells.store(doorbell::tx(queue), 0);
            self.enabled |= 1 << queue;
        } else {
            ring.stop();
            self.enabled &= !(1 << queue);
        }
        self.enable_at[queue] = core.now.saturating_add(core.config.timing.queue_enable.as_nanos() as Nanos);
    }

    /// DMATXCTL was written: queues that waited for TE start.
    pub(crate) fn enable(&mut self, core: &Core, doorbells: &dyn Doorbells) {
        (0..QUEUES).for_each(|queue| self.control(core, doorbells, queue));
    }

    /// TXDCTL as read: ENABLE follows after a while.
    pub(crate) fn read_control(&self, core: &Core, queue: usize) -> u32 {
        let value = core.regs.at::<TXDCTL>(queue);
        let enabled = self.queues[queue].enabled != (core.now < self.enable_at[queue]);
        value.with_enable(enabled).bits()
    }

    /// When a queue goes on that its rate holds back, or reports what it held back.
    pub(crate) fn deadline(&self) -> Option<Nanos> {
        queues(self.enabled).filter_map(|queue| self.queues[queue].deadline()).min()
    }

    /// Gives the enabled queues their turns, but for those of `paused` classes (a bit each). `send` gets frames that are ready
    /// for the wire.
    pub(crate) fn run(
        &mut self,
        core: &mut Core,
        dma: &dyn DmaBus,
        doorbells: &dyn Doorbells,
        paused: u8,
        send: &mut Out<'_>,
    ) -> bool {
        let arbiter = core.regs.get::<RTTDCS>();
        if self.enabled == 0 || core.regs.get::<SECTXCTRL>().tx_dis() || arbiter.arbdis() {
            return false;
        }
        let mut ready = [0u128; CLASSES];
        for queue in queues(self.enabled) {
            let class = classes::of_queue(&core.regs, queue);
            if paused >> class & 1 == 0 && !self.queues[queue].halted && classes::may_send(&core.regs, queue)
            {
                ready[class] |= 1 << queue;
            }
        }
        let mut way = Way { core, dma, doorbells, send };
        if way.core.regs.get::<MTQC>().rt_ena() && arbiter.tdpac() {
            return self.by_weight(&mut way, ready);
        }
        let all = ready.into_iter().fold(0, |all, class| all | class);
        let mut moved = false;
        // Round robin: those from `turn` on, then those before.
        let before = (1u128 << self.turn) - 1;
        for number in queues(all & !before).chain(queues(all & before)) {
            match self.turn_of(&mut way, number, TURN).0 {
                Progress::Idle => {}
                Progress::Moved => moved = true,
                Progress::Blocked => {
                    self.turn = number;
                    return moved;
                }
            }
        }
        self.turn = (self.turn + 1) % QUEUES;
        moved
    }

    /// Lets one queue send up to `budget` packets. Returns what it did, and the bytes that went out.
    fn turn_of(&mut self, way: &mut Way<'_, '_>, number: usize, budget: usize) -> (Progress, usize) {
        let Way { core, dma, doorbells, send } = way;
        let queue = &mut self.queues[number];
        let counter = stat_index::<TQSM>(core, number);
        let mut bytes = 0;
        let progress = queue.run(
            core,
            *dma,
            *doorbells,
            &mut |core, frame, stamp| {
                mac::pad(core, frame);
                let sent = send(core, frame, stamp);
                if sent == Sent::Accepted {
                    core.regs.count::<TXDGPC>();
                    core.regs.count_bytes::<TXDGBC>(0, frame.len());
                    core.regs.count_at::<QPTC>(counter, 1);
                    core.regs.count_bytes::<QBTC>(counter, frame.len());
                    bytes += frame.len();
                }
                sent
            },
            budget,
        );
        if std::mem::take(&mut queue.reported) {
            core.irq.raise_tx(number);
        }
        (progress, bytes)
    }
}

/// The wire's side of a frame: the frame, and whether its time is wanted.
pub(crate) type Out<'a> = dyn FnMut(&mut Core, &[u8], bool) -> Sent + 'a;

/// What a turn needs.
struct Way<'a, 'o> {
    core: &'a mut Core,
    dma: &'a dyn DmaBus,
    doorbells: &'a dyn Doorbells,
    send: &'a mut Out<'o>,
}
