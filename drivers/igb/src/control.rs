//! What can be changed or asked on a started port besides [`Running`]'s own: drop-enable, a restart, registers.
//!
//! No types of its own: methods of [`Running`]. Neighbours: `running` has the port's life, `rss`, `stats` and `inspect`
//! have the methods of their subjects.

use alloc::vec::Vec;

use pmd_intel::Failed;
use vfio_hal::bar::Width;
use vfio_hal::pmd::PortError;
use vfio_hal::regs::{AccessKind, Bits, Register, RegisterInfo};

use crate::hw::Hw;
use crate::port::Started;
use crate::regs::{Regs, SRRCTL, SWSM};
use crate::running::{Running, StopFailed};
use crate::rx::RxQueue;
use crate::tx::TxQueue;

impl Running {
    /// Drops packets for a receive queue without free descriptors, or holds back every queue behind it (SRRCTL.DROP_EN,
    /// 82576 datasheet 8.10.2). `None` as in [`Config::drop_enable`](crate::Config::drop_enable): as suits the number of
    /// queues and flow control, also when that changes later.
    pub fn set_drop_enable(&mut self, on: Option<bool>) -> Result<(), PortError> {
        let (hw, setup) = self.parts();
        setup.config.drop_enable = on;
        follow_drop_enable(hw, setup.config.rx_queues, setup.config.drop_enabled())
    }

    /// Stops the port, resets the device and starts it again with the same configuration; the queues are new ones. What was
    /// on the rings returns to its pool, statistics go on.
    ///
    /// # Errors
    /// As [`stop`](Self::stop) does; and a port that stopped and does not start comes back stopped.
    pub fn restart(self, rx: Vec<RxQueue>, tx: Vec<TxQueue>) -> Result<Started, Failed<StopFailed>> {
        let stopped = self.stop(rx, tx)?;
        stopped.start().map_err(|Failed { error, back }| Failed { error, back: StopFailed::Stopped(back) })
    }

    /// Calls `each` with every register that can be read without changing anything, the entry and its value: what
    /// `ethtool -d` shows. Registers that clear when read are left out, their contents are in the statistics; so is
    /// the one whose reading takes a semaphore.
    ///
    /// # Errors
    /// If the device is gone; nothing of that is shown.
    pub fn dump_registers(
        &mut self,
        each: &mut dyn FnMut(&'static RegisterInfo, usize, u64),
    ) -> Result<(), PortError> {
        let hw = self.parts().0;
        let bar = hw.device.bar(0)?;
        for info in Regs::REGISTERS.iter().filter(|info| is_harmless(info)) {
            for (index, offset) in (0..info.count()).filter_map(|index| Some((index, info.offset(index)?))) {
                let mut value = bar.read(offset, info.bits.access())?;
                if info.bits == Bits::u32x2 {
                    value |= bar.read(offset + 4, Width::W32)? << 32;
                }
                hw.check()?;
                each(info, index, value);
            }
        }
        Ok(())
    }
}

/// Whether reading it changes nothing.
fn is_harmless(info: &RegisterInfo) -> bool {
    let readable =
        !matches!(info.access, AccessKind::WriteOnly | AccessKind::ReadClear | AccessKind::ReadOrWrite1Clear);
    // A read of SWSM takes the semaphore (8.7).
    readable && info.name != SWSM::NAME
}

/// Writes DROP_EN of every receive queue where it is not yet as it should be.
pub(crate) fn follow_drop_enable(hw: &mut Hw, queues: u16, on: bool) -> Result<(), PortError> {
    for queue in 0..queues {
        let mut at = hw.regs.at_mut::<SRRCTL>(queue.into())?;
        if at.read().drop_en() != on {
            at.modify(|srrctl| srrctl.with_drop_en(on));
        }
    }
    Ok(hw.check()?)
}
