//! The registers of one device: who may do what with them.

use alloc::sync::Arc;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;

use spin::Once;

use super::access::{BUS, Modifiable, Readable, Single, Takeable, Writable};
use super::info::{Bits, Register, RegisterInfo, RegisterMap};
use crate::addr::{BusAddr, SpaceId};
use crate::bar::{Bar, Doorbell, Width};
use crate::device::{DeviceError, Lost};

/// The registers of one device and their owner. Everything of a [`View`], and what only one may do.
pub struct Block<M>(View<M>);

/// A share of a [`Block`]: whatever several threads may do at the same time.
///
/// Reads and writes are infallible: the place was checked when the block was made. When the device is gone a
/// read gives all ones, a write does nothing and [`lost`](Self::lost) is closed; whoever decides something by a
/// value looks there first.
pub struct View<M> {
    bar: Bar,
    /// Where the block starts in the BAR, in bytes.
    base: u64,
    space: Arc<Once<SpaceId>>,
    map: PhantomData<fn() -> M>,
}

/// One register, or one entry of an array: where it is has been checked.
pub struct At<'a, R> {
    bar: &'a Bar,
    offset: u64,
    space: &'a Once<SpaceId>,
    register: PhantomData<fn() -> R>,
}

/// One register for the owner of the block.
pub struct AtMut<'a, R>(At<'a, R>);

impl<M: RegisterMap> Block<M> {
    /// Every register of the map.
    pub const REGISTERS: &'static [RegisterInfo] = M::REGISTERS;

    /// Returns the block at the start of `bar`, or an error if the BAR is too small or has a hole where a
    /// register is. Make one per device: a second would be a second reader of what clears when read.
    pub fn new(bar: Bar) -> Result<Block<M>, DeviceError> {
        Block::at_offset(bar, 0)
    }

    /// Returns the block `base` bytes into `bar`.
    pub fn at_offset(bar: Bar, base: u64) -> Result<Block<M>, DeviceError> {
        bar.require(base.saturating_add(M::SPAN))?;
        for info in M::REGISTERS {
            for (_, offset) in info.places() {
                let width = info.bits.access();
                let last = offset + info.bits.bytes() - width.bytes();
                bar.check(base + offset, width)?;
                bar.check(base + last, width)?;
            }
        }
        Ok(Block(View { bar, base, space: Arc::default(), map: PhantomData }))
    }

    /// Returns a share for a queue, another thread or a tool.
    pub fn view(&self) -> View<M> {
        self.0.clone()
    }

    /// Names the IOVA space that the device is in. From then on [`BUS`] registers take addresses of it, and of
    /// no other. Once per block: another space needs the device to be opened anew.
    pub fn bind(&mut self, space: SpaceId) -> Result<(), DeviceError> {
        if *self.0.space.call_once(|| space) == space { Ok(()) } else { Err(DeviceError::ForeignSpace) }
    }

    /// Reads a register, changes the value and writes it back.
    pub fn modify<R>(&mut self, change: impl FnOnce(R) -> R)
    where
        R: Register<Map = M, Shape = Single, Access: Modifiable>,
    {
        AtMut(self.0.single::<R>()).modify(change)
    }

    /// Reads a register that clears by it.
    pub fn take<R>(&mut self) -> R
    where
        R: Register<Map = M, Shape = Single, Access: Takeable>,
    {
        AtMut(self.0.single::<R>()).take()
    }

    /// Returns entry `index` of a register array, for the owner.
    pub fn at_mut<R: Register<Map = M>>(&mut self, index: usize) -> Result<AtMut<'_, R>, DeviceError> {
        self.0.at(index).map(AtMut)
    }
}

impl<M> Deref for Block<M> {
    type Target = View<M>;

    fn deref(&self) -> &View<M> {
        &self.0
    }
}

impl<M: RegisterMap> View<M> {
    /// Returns the latch of the device.
    #[inline]
    pub fn lost(&self) -> &Lost {
        self.bar.lost()
    }

    /// Returns the space that [`Block::bind`] named.
    pub fn space(&self) -> Option<SpaceId> {
        self.space.get().copied()
    }

    /// Reads a register.
    pub fn read<R>(&self) -> R
    where
        R: Register<Map = M, Shape = Single, Access: Readable>,
    {
        self.single::<R>().read()
    }

    /// Writes a register.
    pub fn write<R>(&self, value: R)
    where
        R: Register<Map = M, Shape = Single, Access: Writable>,
    {
        self.single::<R>().write(value)
    }

    /// Returns a single register as a place, to poll it or to hand it on.
    pub fn single<R: Register<Map = M, Shape = Single>>(&self) -> At<'_, R> {
        self.place(R::OFFSET)
    }

    /// Returns entry `index` of a register array.
    pub fn at<R: Register<Map = M>>(&self, index: usize) -> Result<At<'_, R>, DeviceError> {
        match const { &R::INFO }.offset(index) {
            Some(offset) => Ok(self.place(offset)),
            None => Err(DeviceError::RegisterIndex { register: R::NAME, index, count: R::COUNT }),
        }
    }

    /// Returns entry `INDEX` of a register array; an index beyond the array does not compile:
    ///
    /// ```compile_fail,E0080
    /// vfio_hal::registers! {
    ///     /// An example.
    ///     pub block Example[0x100];
    ///     /// Four entries.
    ///     pub TAIL @ 0x40 + 8 * [4] RW;
    /// }
    /// fn fifth(view: &vfio_hal::regs::View<Example>) -> u32 {
    ///     view.at_const::<TAIL, 4>().read().bits()
    /// }
    /// # use vfio_hal::Device;
    /// # let device = vfio_hal::testing::RamDevice::new(0x100);
    /// # fifth(&vfio_hal::regs::Block::new(device.bar(0).unwrap()).unwrap());
    /// ```
    pub fn at_const<R: Register<Map = M>, const INDEX: usize>(&self) -> At<'_, R> {
        const {
            assert!(INDEX < R::COUNT, "the register array has no entry of this index");
        }
        self.place(const { entry::<R>(INDEX) })
    }

    /// Returns entry `index` of a 32-bit register array for the hot path: looked up once, then one store each.
    pub fn doorbell<R>(&self, index: usize) -> Result<Doorbell, DeviceError>
    where
        R: Register<Map = M, Access: Writable>,
    {
        const {
            assert!(matches!(R::INFO.bits, Bits::u32), "a doorbell is a 32-bit register");
        }
        self.bar.doorbell(self.at::<R>(index)?.offset)
    }

    /// Writes the address of memory that the kit vouches for to entry `index` of a register array; see
    /// [`At::write_bus`].
    pub fn write_bus<R>(&self, index: usize, address: BusAddr) -> Result<(), DeviceError>
    where
        R: Register<Map = M, Access = BUS>,
    {
        self.at::<R>(index)?.write_bus(address, R::from_raw(0))
    }

    fn place<R>(&self, offset: u64) -> At<'_, R> {
        At { bar: &self.bar, offset: self.base + offset, space: &self.space, register: PhantomData }
    }
}

/// Returns the offset of an entry that is known to exist.
const fn entry<R: Register>(index: usize) -> u64 {
    match R::INFO.offset(index) {
        Some(offset) => offset,
        None => panic!("the register array has no entry of this index"),
    }
}

impl<R: Register> At<'_, R> {
    /// Returns where the register is, in bytes from the start of the BAR.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the latch of the device.
    pub fn lost(&self) -> &Lost {
        self.bar.lost()
    }

    /// Reads it.
    pub fn read(&self) -> R
    where
        R: Register<Access: Readable>,
    {
        self.get()
    }

    /// Writes it.
    pub fn write(&self, value: R)
    where
        R: Register<Access: Writable>,
    {
        self.set(value.to_raw())
    }

    /// Writes the address of memory that the kit vouches for, with the register's flags beside it.
    ///
    /// Refused with nothing written: memory of another IOVA space than the device's
    /// ([`ForeignSpace`](DeviceError::ForeignSpace)), a block that is not bound to one
    /// ([`Unbound`](DeviceError::Unbound)), an address that the register cannot hold
    /// ([`BusAlign`](DeviceError::BusAlign)).
    pub fn write_bus(&self, address: BusAddr, flags: R) -> Result<(), DeviceError>
    where
        R: Register<Access = BUS>,
    {
        let space = *self.space.get().ok_or(DeviceError::Unbound { register: R::NAME })?;
        if address.space() != space {
            return Err(DeviceError::ForeignSpace);
        }
        let (iova, align) = (address.iova(), const { R::INFO.align });
        let number = iova.0 >> const { R::INFO.shift };
        if !iova.0.is_multiple_of(align) || number > max(const { R::INFO.bits }) {
            return Err(DeviceError::BusAlign { register: R::NAME, iova, align });
        }
        // Only declared flags: they lie below the alignment, so the address stays what it is.
        self.set(number | flags.to_raw() & const { super::info::flag_mask(&R::INFO) });
        Ok(())
    }

    fn get(&self) -> R {
        let read = |offset, width: Width| {
            self.bar.read(offset, width).unwrap_or_else(|_| {
                // `Block::new` has checked the place, so this is not reached; a made-up value would be worse.
                self.bar.lost().latch();
                width.all_ones()
            })
        };
        R::from_raw(match const { R::INFO.bits } {
            Bits::u8 => read(self.offset, Width::W8),
            Bits::u16 => read(self.offset, Width::W16),
            Bits::u32 => read(self.offset, Width::W32),
            Bits::u64 => read(self.offset, Width::W64),
            Bits::u32x2 => {
                let low = read(self.offset, Width::W32);
                read(self.offset + 4, Width::W32) << 32 | low
            }
        })
    }

    fn set(&self, raw: u64) {
        let write = |offset, width, value| {
            if self.bar.write(offset, width, value).is_err() {
                // As in `get`.
                self.bar.lost().latch();
            }
        };
        match const { R::INFO.bits } {
            Bits::u8 => write(self.offset, Width::W8, raw),
            Bits::u16 => write(self.offset, Width::W16, raw),
            Bits::u32 => write(self.offset, Width::W32, raw),
            Bits::u64 => write(self.offset, Width::W64, raw),
            Bits::u32x2 => {
                write(self.offset, Width::W32, raw & 0xffff_ffff);
                write(self.offset + 4, Width::W32, raw >> 32);
            }
        }
    }
}

/// Returns the highest value that a register of this width holds.
const fn max(bits: Bits) -> u64 {
    u64::MAX >> (64 - bits.count())
}

impl<R: Register> AtMut<'_, R> {
    /// Reads it, changes the value and writes it back.
    pub fn modify(&mut self, change: impl FnOnce(R) -> R)
    where
        R: Register<Access: Modifiable>,
    {
        self.0.set(change(self.0.get()).to_raw())
    }

    /// Reads it, by which it clears.
    pub fn take(&mut self) -> R
    where
        R: Register<Access: Takeable>,
    {
        self.0.get()
    }
}

impl<'a, R> Deref for AtMut<'a, R> {
    type Target = At<'a, R>;

    fn deref(&self) -> &At<'a, R> {
        &self.0
    }
}

impl<M> Clone for View<M> {
    fn clone(&self) -> Self {
        View { bar: self.bar.clone(), base: self.base, space: self.space.clone(), map: PhantomData }
    }
}

impl<R> Clone for At<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R> Copy for At<'_, R> {}

impl<M: RegisterMap> fmt::Debug for View<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(M::NAME).field("bar", &self.bar).field("base", &self.base).finish_non_exhaustive()
    }
}

impl<M: RegisterMap> fmt::Debug for Block<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<R: Register> fmt::Debug for At<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {:#x}", R::NAME, self.offset)
    }
}

impl<R: Register> fmt::Debug for AtMut<'_, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
