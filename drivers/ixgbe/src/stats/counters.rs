//! The device's counters, gathered: what was read, added up.
//!
//! Every register is read exactly once in [`Counters::take`], for it clears by that. Corrections (check sequences,
//! pause frames) are made where a value is given out and not here: the registers are read one after the other while
//! packets go on, so a difference may be off by a few for one reading and is right again with the next.

use vfio_hal::DeviceError;
use vfio_hal::regs::{Register, Single, Takeable};

use crate::hw::Hw;
use crate::regs::*;

/// Traffic classes, and packet buffers.
pub(super) const CLASSES: usize = 8;

/// Counters of queues.
pub(super) const QUEUES: usize = 16;

/// Bytes of a frame check sequence.
pub(super) const FCS: u64 = 4;

macro_rules! counters {
    ($($name:ident = $register:ident;)*) => {
        /// Sums over all readings. 32-bit registers by their names in the datasheet; bytes, classes and queues below.
        #[derive(Clone, Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: u64,)*
            pub(super) bytes: Bytes,
            pub(super) flow_director: FlowDirector,
            pub(super) classes: [Class; CLASSES],
            pub(super) queues: [Queue; QUEUES],
            /// How many registers were found at their highest value, where they stay: what came after is not counted.
            pub(super) stuck: u64,
        }

        impl Counters {
            /// Reads all counters of the device, by which they start from 0.
            ///
            /// # Errors
            /// If the device is gone, for then the values mean nothing.
            pub(super) fn take(hw: &mut Hw) -> Result<Counters, DeviceError> {
                let mut read = Counters::default();
                // Check sequences are in the byte counts of received packets where they are not stripped.
                let kept = if hw.regs.read::<HLREG0>().rxcrcstrp() { 0 } else { FCS };
                $(read.$name = word::<$register>(hw, &mut read.stuck);)*
                read.bytes.take(hw, &mut read.stuck);
                read.flow_director.take(hw);
                for (index, class) in read.classes.iter_mut().enumerate() {
                    class.take(hw, index, &mut read.stuck)?;
                }
                for (index, queue) in read.queues.iter_mut().enumerate() {
                    queue.take(hw, index, kept, &mut read.stuck)?;
                }
                hw.check()?;
                Ok(read)
            }

            /// Adds what was read.
            pub(super) fn add(&mut self, read: &Counters) {
                $(add(&mut self.$name, read.$name);)*
                self.bytes.add(&read.bytes);
                self.flow_director.add(&read.flow_director);
                self.classes.iter_mut().zip(&read.classes).for_each(|(sum, read)| sum.add(read));
                self.queues.iter_mut().zip(&read.queues).for_each(|(sum, read)| sum.add(read));
                add(&mut self.stuck, read.stuck);
            }
        }
    };
}

counters! {
    crcerrs = CRCERRS;
    illerrc = ILLERRC;
    errbc = ERRBC;
    mspdc = MSPDC;
    mlfc = MLFC;
    mrfc = MRFC;
    rlec = RLEC;
    lxontxc = LXONTXC;
    lxofftxc = LXOFFTXC;
    lxonrxc = LXONRXCNT;
    lxoffrxc = LXOFFRXCNT;
    prc64 = PRC64;
    prc127 = PRC127;
    prc255 = PRC255;
    prc511 = PRC511;
    prc1023 = PRC1023;
    prc1522 = PRC1522;
    bprc = BPRC;
    mprc = MPRC;
    gptc = GPTC;
    ruc = RUC;
    rfc = RFC;
    roc = ROC;
    rjc = RJC;
    mngprc = MNGPRC;
    mngpdc = MNGPDC;
    mngptc = MNGPTC;
    tpr = TPR;
    tpt = TPT;
    ptc64 = PTC64;
    ptc127 = PTC127;
    ptc255 = PTC255;
    ptc511 = PTC511;
    ptc1023 = PTC1023;
    ptc1522 = PTC1522;
    mptc = MPTC;
    bptc = BPTC;
    xec = XEC;
    fccrc = FCCRC;
    fclast = FCLAST;
    fcoerpdc = FCOERPDC;
    fcoeprc = FCOEPRC;
    fcoeptc = FCOEPTC;
    fcoedwrc = FCOEDWRC;
    fcoedwtc = FCOEDWTC;
}

/// Bytes of the port, check sequences included, of 36 bits each.
#[derive(Clone, Debug, Default)]
pub(super) struct Bytes {
    /// Good ones sent.
    pub(super) gotc: u64,
    /// All received.
    pub(super) tor: u64,
}

/// Counts of two to a register.
#[derive(Clone, Debug, Default)]
pub(super) struct FlowDirector {
    pub(super) added: u64,
    pub(super) removed: u64,
    pub(super) add_failed: u64,
    pub(super) remove_failed: u64,
    pub(super) matched: u64,
    pub(super) missed: u64,
}

/// Counts of a traffic class.
#[derive(Clone, Debug, Default)]
pub(super) struct Class {
    pub(super) mpc: u64,
    pub(super) pxontxc: u64,
    pub(super) pxofftxc: u64,
    pub(super) pxonrxc: u64,
    pub(super) pxoffrxc: u64,
    pub(super) pxon2offc: u64,
}

/// Counts of the queues that share a counter.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    pub(super) qprc: u64,
    pub(super) qprdc: u64,
    pub(super) qptc: u64,
    /// Bytes received and sent, of 36 bits each; those received as the device counts them.
    pub(super) qbrc: u64,
    pub(super) qbtc: u64,
    /// How many bytes of `qbrc` are check sequences.
    pub(super) kept: u64,
}

impl Bytes {
    fn take(&mut self, hw: &mut Hw, stuck: &mut u64) {
        // Nobody asks for these, but what is left in them would be old when somebody does.
        let _ = (hw.regs.take::<GPRC>(), hw.regs.take::<GORC>());
        self.gotc = bytes(hw.regs.take::<GOTC>().gotc(), stuck);
        self.tor = bytes(hw.regs.take::<TOR>().tor(), stuck);
    }

    fn add(&mut self, read: &Bytes) {
        add(&mut self.gotc, read.gotc);
        add(&mut self.tor, read.tor);
    }
}

impl FlowDirector {
    fn take(&mut self, hw: &mut Hw) {
        let (changed, failed) = (hw.regs.take::<FDIRUSTAT>(), hw.regs.take::<FDIRFSTAT>());
        *self = FlowDirector {
            added: changed.add().into(),
            removed: changed.remove().into(),
            add_failed: failed.fadd().into(),
            remove_failed: failed.fremove().into(),
            matched: hw.regs.take::<FDIRMATCH>().bits().into(),
            missed: hw.regs.take::<FDIRMISS>().bits().into(),
        };
    }

    fn add(&mut self, read: &FlowDirector) {
        add(&mut self.added, read.added);
        add(&mut self.removed, read.removed);
        add(&mut self.add_failed, read.add_failed);
        add(&mut self.remove_failed, read.remove_failed);
        add(&mut self.matched, read.matched);
        add(&mut self.missed, read.missed);
    }
}

impl Class {
    fn take(&mut self, hw: &mut Hw, index: usize, stuck: &mut u64) -> Result<(), DeviceError> {
        self.mpc = entry::<MPC>(hw, index, stuck)?;
        self.pxontxc = entry::<PXONTXC>(hw, index, stuck)?;
        self.pxofftxc = entry::<PXOFFTXC>(hw, index, stuck)?;
        self.pxonrxc = entry::<PXONRXCNT>(hw, index, stuck)?;
        self.pxoffrxc = entry::<PXOFFRXCNT>(hw, index, stuck)?;
        self.pxon2offc = entry::<PXON2OFFCNT>(hw, index, stuck)?;
        Ok(())
    }

    fn add(&mut self, read: &Class) {
        add(&mut self.mpc, read.mpc);
        add(&mut self.pxontxc, read.pxontxc);
        add(&mut self.pxofftxc, read.pxofftxc);
        add(&mut self.pxonrxc, read.pxonrxc);
        add(&mut self.pxoffrxc, read.pxoffrxc);
        add(&mut self.pxon2offc, read.pxon2offc);
    }
}

impl Queue {
    fn take(&mut self, hw: &mut Hw, index: usize, kept: u64, stuck: &mut u64) -> Result<(), DeviceError> {
        self.qprc = entry::<QPRC>(hw, index, stuck)?;
        self.qprdc = entry::<QPRDC>(hw, index, stuck)?;
        self.qptc = entry::<QPTC>(hw, index, stuck)?;
        self.qbrc = bytes(hw.regs.at_mut::<QBRC>(index)?.take().qbrc(), stuck);
        self.qbtc = bytes(hw.regs.at_mut::<QBTC>(index)?.take().qbtc(), stuck);
        self.kept = self.qprc * kept;
        Ok(())
    }

    fn add(&mut self, read: &Queue) {
        add(&mut self.qprc, read.qprc);
        add(&mut self.qprdc, read.qprdc);
        add(&mut self.qptc, read.qptc);
        add(&mut self.qbrc, read.qbrc);
        add(&mut self.qbtc, read.qbtc);
        add(&mut self.kept, read.kept);
    }

    /// Returns the bytes received, without check sequences.
    pub(super) fn received(&self) -> u64 {
        self.qbrc.saturating_sub(self.kept)
    }
}

/// Takes a single 32-bit counter.
fn word<R>(hw: &mut Hw, stuck: &mut u64) -> u64
where
    R: Register<Map = Ixgbe, Shape = Single, Access: Takeable>,
{
    count(hw.regs.take::<R>().to_raw(), u32::MAX.into(), stuck)
}

/// Takes a 32-bit counter of an array.
fn entry<R>(hw: &mut Hw, index: usize, stuck: &mut u64) -> Result<u64, DeviceError>
where
    R: Register<Map = Ixgbe, Access: Takeable>,
{
    Ok(count(hw.regs.at_mut::<R>(index)?.take().to_raw(), u32::MAX.into(), stuck))
}

/// Returns a byte counter, which has 36 bits.
fn bytes(value: u64, stuck: &mut u64) -> u64 {
    count(value, (1 << 36) - 1, stuck)
}

fn count(value: u64, highest: u64, stuck: &mut u64) -> u64 {
    *stuck += u64::from(value == highest);
    value
}

/// A hostile device reaches 2^64 in some hours of readings: the sum wraps then.
fn add(sum: &mut u64, more: u64) {
    *sum = sum.wrapping_add(more);
}
