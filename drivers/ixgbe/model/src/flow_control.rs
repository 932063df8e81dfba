//! Flow control both ways: PAUSE of the whole link (IEEE 802.3 annex 31B) and of each traffic class (802.1Qbb) (datasheet
//! 3.7.7, 8.2.3.3).
//!
//! Received frames stop transmission for their quanta if MFLCN.RFCE or MFLCN.RPFCE says so. A packet buffer above its FCRTH
//! sends XOFF with the time of FCTTV, again each FCRTV while it stays above, and XON once it is below FCRTL; FCCFG says
//! whether as PAUSE, for packet buffer 0, or for each class.
//!
//! Key types: [`FlowControl`], [`Frame`]. Neighbours: the receive MAC and the packet buffers report, transmit asks;
//! [`classes`] maps classes to the priorities in frames.

use pmd_ixgbe::regs::{
    FCCFG, FCRTH, FCRTL, FCRTV, FCTTV, LXOFFRXCNT, LXOFFTXC, LXONRXCNT, LXONTXC, MFLCN, PFCTOP, PXOFFRXCNT,
    PXOFFTXC, PXONRXCNT, PXONTXC, RAH, RAL, TFCS,
};
use pmd_links::Nanos;

use crate::classes::{self, CLASSES};
use crate::regs::RegisterFile;
use crate::shared::Core;
use crate::state::state;

/// The group address of flow control frames.
const GROUP: [u8; 6] = [0x01, 0x80, 0xC2, 0x00, 0x00, 0x01];
/// MAC control, and its operation PAUSE.
const MAC_CONTROL: u16 = 0x8808;
const PAUSE: u16 = 0x0001;
/// One quantum is 512 bit times.
const BITS_PER_QUANTUM: u64 = 512;
/// FCCFG.tfce.
const LINK: u32 = 1;
const PRIORITY: u32 = 2;

/// What a flow control frame says, in quanta; 0 is XON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// All traffic.
    Pause(u16),
    /// The priorities whose bits are set.
    Priority { enabled: u8, quanta: [u16; 8] },
}

impl Frame {
    /// Reads a MAC control frame; `None` if it is no flow control frame to this station.
    pub(crate) fn parse(regs: &RegisterFile, frame: &[u8], own: impl Fn(u64) -> bool) -> Option<Frame> {
        let body = frame.get(14..)?;
        if frame[..6] != GROUP && !own(crate::rx::mac::mac_bits(frame)) {
            return None;
        }
        let word = |at: usize| body.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
        match word(0)? {
            PAUSE => Some(Frame::Pause(word(2)?)),
            operation if u32::from(operation) == regs.get::<PFCTOP>().fcop() => {
                let mut quanta = [0; 8];
                for (priority, quanta) in quanta.iter_mut().enumerate() {
                    *quanta = word(4 + 2 * priority)?;
                }
                Some(Frame::Priority { enabled: word(2)? as u8, quanta })
            }
            _ => None,
        }
    }

    /// Makes the frame, padded to 60 bytes.
    fn build(self, regs: &RegisterFile) -> [u8; 60] {
        let mut frame = [0u8; 60];
        frame[..6].copy_from_slice(&GROUP);
        frame[6..10].copy_from_slice(&regs.get::<RAL>().bits().to_le_bytes());
        frame[10..12].copy_from_slice(&regs.get::<RAH>().bits().to_le_bytes()[..2]);
        let mut put = |at: usize, word: u16| frame[at..at + 2].copy_from_slice(&word.to_be_bytes());
        match self {
            Frame::Pause(quanta) => {
                put(12, MAC_CONTROL);
                put(14, PAUSE);
                put(16, quanta);
            }
            Frame::Priority { enabled, quanta } => {
                let kind = regs.get::<PFCTOP>();
                put(12, kind.fct() as u16);
                put(14, kind.fcop() as u16);
                put(16, enabled.into());
                quanta.iter().enumerate().for_each(|(priority, quanta)| put(18 + 2 * priority, *quanta));
            }
        }
        frame
    }
}

/// The time of pause quanta, 512 bit times each, at the link's speed.
fn quanta(core: &Core, count: u16) -> Nanos {
    let bits = u64::from(count) * BITS_PER_QUANTUM;
    bits * 1_000 / u64::from(if core.speed_mbps == 0 { 10_000 } else { core.speed_mbps })
}

/// One class; with PAUSE of the whole link the first stands for all.
#[derive(Clone, Copy, Default)]
struct Class {
    paused_until: Nanos,
    /// The partner was told to stop; when to tell it again.
    refresh_at: Option<Nanos>,
    /// Quanta to be told before anything else is sent.
    outgoing: Option<u16>,
}

/// Flow control of the port.
#[derive(Default)]
pub(crate) struct FlowControl {
    /// The whole link is paused.
    paused_until: Nanos,
    classes: [Class; CLASSES],
}

state!(Class { paused_until, refresh_at, outgoing });
state!(FlowControl { paused_until, classes });

impl FlowControl {
    /// A flow control frame came.
    pub(crate) fn received(&mut self, core: &mut Core, frame: Frame) {
        let mflcn = core.regs.get::<MFLCN>();
        match frame {
            Frame::Pause(count) => {
                if count == 0 {
                    core.regs.count::<LXONRXCNT>()
                } else {
                    core.regs.count::<LXOFFRXCNT>()
                }
                if mflcn.rfce() {
                    self.paused_until = core.now.saturating_add(quanta(core, count));
                }
            }
            Frame::Priority { enabled, quanta: counts } => {
                for priority in (0..8).filter(|priority| enabled >> priority & 1 == 1) {
                    let (class, count) = (classes::of_priority(&core.regs, priority), counts[priority]);
                    if count == 0 {
                        core.regs.count_at::<PXONRXCNT>(class, 1);
                    } else {
                        core.regs.count_at::<PXOFFRXCNT>(class, 1);
                    }
                    if mflcn.rpfce() {
                        self.classes[class].paused_until = core.now.saturating_add(quanta(core, count));
                    }
                }
            }
        }
    }

    /// Whether all transmission is stopped by the partner.
    pub(crate) fn paused(&self, now: Nanos) -> bool {
        now < self.paused_until
    }

    /// The classes that the partner stopped, a bit each.
    pub(crate) fn paused_classes(&self, now: Nanos) -> u8 {
        let paused = self.classes.iter().enumerate().filter(|(_, class)| now < class.paused_until);
        paused.fold(0, |set, (class, _)| set | 1 << class)
    }

    /// When transmission goes on, or XOFF is to be repeated; the first of them that is still to come.
    pub(crate) fn deadline(&self, now: Nanos) -> Option<Nanos> {
        let classes = self.classes.iter().flat_map(|class| [Some(class.paused_until), class.refresh_at]);
        classes.flatten().chain([self.paused_until]).filter(|at| *at > now).min()
    }

    /// The occupancy of the packet buffers, in bytes, after it changed or time went by.
    pub(crate) fn occupancy(&mut self, core: &Core, bytes: impl Fn(usize) -> usize) {
        let used = match core.regs.get::<FCCFG>().tfce() {
            LINK => 1,
            PRIORITY => CLASSES,
            _ => 0,
        };
        for (number, class) in self.classes.iter_mut().enumerate() {
            let (high, low) = (core.regs.at::<FCRTH>(number), core.regs.at::<FCRTL>(number));
            if number >= used || !high.fcen() {
                class.refresh_at = None;
                continue;
            }
            let bytes = bytes(number);
            let above = bytes > high.rth() as usize * 32;
            match class.refresh_at {
                None if above => class.xoff(core, number),
                Some(at) if above && core.now >= at => class.xoff(core, number),
                Some(_) if bytes <= low.rtl() as usize * 32 => {
                    class.refresh_at = None;
                    if low.xone() {
                        class.outgoing = Some(0);
                    }
                }
                _ => {}
            }
        }
    }

    /// The frame that is to go out next, if any.
    fn next(&self, core: &Core) -> Option<Frame> {
        if core.regs.get::<FCCFG>().tfce() != PRIORITY {
            return self.classes[0].outgoing.map(Frame::Pause);
        }
        let (mut enabled, mut quanta) = (0, [0; 8]);
        for (class, count) in
            self.classes.iter().enumerate().filter_map(|(n, class)| Some((n, class.outgoing?)))
        {
            let priorities = classes::priorities(&core.regs, class);
            enabled |= priorities;
            (0..8).filter(|p| priorities >> p & 1 == 1).for_each(|priority| quanta[priority] = count);
        }
        self.classes
            .iter()
            .any(|class| class.outgoing.is_some())
            .then_some(Frame::Priority { enabled, quanta })
    }

    /// Returns the bytes of the frame that is to go out next, if any.
    pub(crate) fn frame(&self, core: &Core) -> Option<[u8; 60]> {
        self.next(core).map(|frame| frame.build(&core.regs))
    }

    /// The frame went out. Transmitted PAUSE frames count as packets too (specification update).
    pub(crate) fn sent(&mut self, core: &mut Core) {
        let by_class = core.regs.get::<FCCFG>().tfce() == PRIORITY;
        for (number, class) in self.classes.iter_mut().enumerate() {
            match class.outgoing.take() {
                None => {}
                Some(0) if by_class => core.regs.count_at::<PXONTXC>(number, 1),
                Some(_) if by_class => core.regs.count_at::<PXOFFTXC>(number, 1),
                Some(0) => core.regs.count::<LXONTXC>(),
                Some(_) => core.regs.count::<LXOFFTXC>(),
            }
        }
    }

    /// TFCS: bit 0, transmission is paused; 15:8, that of classes.
    pub(crate) fn tfcs(&self, now: Nanos) -> u32 {
        let classes = u32::from(self.paused_classes(now));
        TFCS::default().with_txoff(self.paused(now)).with_txoff_tc(classes).bits()
    }
}

impl Class {
    fn xoff(&mut self, core: &Core, number: usize) {
        let times = core.regs.at::<FCTTV>(number / 2);
        let count = if number.is_multiple_of(2) { times.ttv0() } else { times.ttv1() } as u16;
        self.outgoing = Some(count);
        let refresh = core.regs.get::<FCRTV>().refresh() as u16;
        let after = quanta(core, if refresh == 0 { count } else { refresh });
        self.refresh_at = Some(core.now.saturating_add(after.max(1)));
    }
}
