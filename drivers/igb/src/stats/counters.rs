//! The device's counters, gathered: what was read, added up.
//!
//! Every register is read exactly once in [`Counters::take`], for it clears by that. Check sequences are taken off where a
//! value is given out and not here: the registers are read one after the other while packets go on, so a difference may be
//! off by a few for one reading and is right again with the next.

use vfio_hal::DeviceError;

use crate::hw::Hw;
use crate::regs::*;

/// Receive queues that count what they drop.
const QUEUES: usize = 16;

macro_rules! counters {
    ($($name:ident = $register:ident;)*) => {
        /// Sums over all readings, by the registers' names in the datasheet.
        #[derive(Clone, Debug, Default)]
        pub(super) struct Counters {
            $(pub(super) $name: u64,)*
            /// Packets dropped for want of a descriptor (RQDPC), by queue.
            pub(super) dropped: [u64; QUEUES],
        }

        impl Counters {
            /// Reads all counters of the device, by which they start from 0.
            ///
            /// # Errors
            /// If the device is gone, for then the values mean nothing.
            pub(super) fn take(hw: &mut Hw) -> Result<Counters, DeviceError> {
                let mut read = Counters::default();
                $(read.$name = hw.regs.take::<$register>().bits().into();)*
                let queues = usize::from(hw.model.chip.queues());
                for (queue, dropped) in read.dropped.iter_mut().enumerate().take(queues) {
                    *dropped = hw.regs.at_mut::<RQDPC>(queue)?.take().bits().into();
                }
                hw.check()?;
                Ok(read)
            }

            /// Adds what was read. A hostile device reaches 2^64 sooner or later: the sums wrap then.
            pub(super) fn add(&mut self, read: &Counters) {
                $(self.$name = self.$name.wrapping_add(read.$name);)*
                self.dropped
                    .iter_mut()
                    .zip(read.dropped)
                    .for_each(|(sum, read)| *sum = sum.wrapping_add(read));
            }
        }
    };
}

counters! {
    crcerrs = CRCERRS;
    algnerrc = ALGNERRC;
    symerrs = SYMERRS;
    rxerrc = RXERRC;
    mpc = MPC;
    scc = SCC;
    ecol = ECOL;
    mcc = MCC;
    latecol = LATECOL;
    colc = COLC;
    dc = DC;
    tncrs = TNCRS;
    rlec = RLEC;
    xonrxc = XONRXC;
    xontxc = XONTXC;
    xoffrxc = XOFFRXC;
    xofftxc = XOFFTXC;
    fcruc = FCRUC;
    prc64 = PRC64;
    prc127 = PRC127;
    prc255 = PRC255;
    prc511 = PRC511;
    prc1023 = PRC1023;
    prc1522 = PRC1522;
    gprc = GPRC;
    bprc = BPRC;
    mprc = MPRC;
    gptc = GPTC;
    gorc = GORC;
    gotc = GOTC;
    rnbc = RNBC;
    ruc = RUC;
    rfc = RFC;
    roc = ROC;
    rjc = RJC;
    mngprc = MNGPRC;
    mpdc = MPDC;
    mngptc = MNGPTC;
    tor = TOR;
    tot = TOT;
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
    tsctc = TSCTC;
    iac = IAC;
    rpthc = RPTHC;
    hgptc = HGPTC;
    scvpc = SCVPC;
}
