//! Feature lists that are odd, damaged or hostile: typed errors, no hang, no access outside of the BAR.

use std::cell::Cell;

use pmd_afu::dfl::{DflError, Features, Kind, MAX_FEATURES, Place, Words, walk};
use pmd_afu::guid;
use proptest::prelude::*;
use vfio_hal::DeviceError;

/// A BAR that counts what is read of it, and fails the test if that is outside.
struct Counted<'a> {
    bytes: &'a [u8],
    bar: u8,
    reads: Cell<u32>,
    address: Option<u64>,
}

impl<'a> Counted<'a> {
    fn new(bytes: &'a [u8]) -> Counted<'a> {
        Counted { bytes, bar: 0, reads: Cell::new(0), address: None }
    }
}

impl Words for Counted<'_> {
    fn bar(&self) -> u8 {
        self.bar
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn word(&self, offset: u64) -> Result<u64, DeviceError> {
        assert!(offset.is_multiple_of(8) && offset + 8 <= self.bytes.len() as u64, "read at {offset:#x}");
        self.reads.set(self.reads.get() + 1);
        self.bytes.word(offset)
    }

    fn address(&self) -> Option<u64> {
        self.address
    }
}

/// A BAR that is written word by word.
#[derive(Clone)]
struct Image(Vec<u8>);

impl Image {
    fn new(len: usize) -> Image {
        Image(vec![0; len])
    }

    fn put(mut self, offset: usize, word: u64) -> Image {
        self.0[offset..offset + 8].copy_from_slice(&word.to_le_bytes());
        self
    }

    fn guid(self, offset: usize, guid: guid::Uuid) -> Image {
        let (low, high) = guid::words(guid);
        self.put(offset, low).put(offset + 8, high)
    }

    fn walk(&self) -> Result<Features, DflError> {
        let bar = Counted::new(&self.0);
        let open = |index: u8| (index == 0).then_some(&bar);
        let result = walk(&[Place { bar: 0, offset: 0 }], &open);
        // Each header costs a bounded number of reads.
        assert!(bar.reads.get() as usize <= (MAX_FEATURES + 8) * 128);
        result
    }
}

fn header(kind: u64, id: u64, next: u64, last: bool, version: u64) -> u64 {
    kind << 60 | version << 52 | u64::from(last) << 40 | next << 16 | id
}

const PORT_CTRL: usize = 0x38;

#[test]
fn a_simple_list_is_walked() {
    let image = Image::new(0x4000)
        .put(0, header(4, 0, 0x1000, false, 0))
        .guid(8, guid::FME)
        .put(0x1000, header(3, 1, 0x1000, false, 0))
        .put(0x2000, header(4, 1, 0x100, false, 0))
        .guid(0x2008, guid::PORT)
        .put(0x2018, 0x1000)
        .put(0x2100, header(3, 0x10, 0x80, true, 0))
        .put(0x3000, header(1, 0, 0, true, 0))
        .guid(0x3008, guid::NLB0);
    let features = image.walk().unwrap();
    let kinds: Vec<_> = features.all().iter().map(|feature| (feature.kind, feature.parent)).collect();
    let expected = [
        (Kind::Fme, None),
        (Kind::Private(1), Some(0)),
        (Kind::Port, None),
        (Kind::Afu, Some(2)),
        (Kind::Private(0x10), Some(2)),
    ];
    assert_eq!(kinds, expected);
    assert_eq!(features.afus().next().unwrap().1.guid, Some(guid::NLB0));
    assert!(features.private(2, 0x10).is_some() && features.private(0, 0x10).is_none());
}

#[test]
fn an_accelerator_in_reset_is_not_touched() {
    let image = Image::new(0x2000)
        .put(0, header(4, 1, 0, true, 0))
        .put(0x18, 0x1000)
        .put(PORT_CTRL, 1)
        // Read, this would be an error.
        .put(0x1000, header(1, 0, 4, false, 9));
    let features = image.walk().unwrap();
    assert_eq!(features.afus().next().unwrap().1.guid, None);
    assert!(matches!(image.put(PORT_CTRL, 0).walk(), Err(DflError::Version { version: 9, .. })));
}

#[test]
fn what_is_wrong_with_a_list_is_said() {
    let len = 0x1000;
    let fme = |next| Image::new(0x1000).put(0, header(4, 0, next, false, 0));
    assert_eq!(Image::new(0x1000).walk(), Err(DflError::Absent { bar: 0, at: 0, word: 0 }));
    let ones = Image(vec![0xff; 0x1000]);
    assert_eq!(ones.walk(), Err(DflError::Absent { bar: 0, at: 0, word: u64::MAX }));
    assert_eq!(fme(0).walk(), Err(DflError::NoNext { bar: 0, at: 0 }));
    assert_eq!(fme(0x104).walk(), Err(DflError::Misaligned { bar: 0, at: 0x104 }));
    assert_eq!(fme(0x1000).walk(), Err(DflError::Overrun { bar: 0, what: "a header", at: 0x1000, len }));
    // A GUID that is cut off by the BAR's end.
    let cut = fme(0xff0).put(0xff0, header(1, 0, 0, true, 0));
    assert!(matches!(cut.walk(), Err(DflError::Overrun { what: "a GUID", .. })));
    // A port's accelerator is the port itself: 8 bytes into it, which reads as a header that leads back.
    let back = Image::new(0x1000)
        .put(0, header(4, 1, 0x100, true, 0))
        .put(8, header(4, 1, 0, true, 0))
        .put(0x18, 8)
        .put(0x20, 0x20);
    assert!(back.walk().is_err());
    // Two ports with the same accelerator.
    let twice = Image::new(0x1000)
        .put(0, header(4, 1, 0x100, false, 0))
        .put(0x18, 0x200)
        .put(0x100, header(4, 1, 0, true, 0))
        .put(0x118, 0x100)
        .put(0x200, header(1, 0, 0, true, 0));
    assert_eq!(twice.walk(), Err(DflError::Loop { bar: 0, at: 0x200 }));
    let named = Image::new(0x1000).put(0, header(4, 0, 0, true, 0)).put(0x38, 1 << 60 | 2 << 32);
    assert_eq!(named.walk(), Err(DflError::PortBar { port: 0, bar: 2 }));
}

#[test]
fn a_list_of_a_thousand_features_ends() {
    let mut image = Image::new(0x4000);
    for at in (0..0x2000).step_by(8) {
        image = image.put(at, header(3, 1, 8, false, 0));
    }
    assert_eq!(image.walk(), Err(DflError::TooMany { limit: MAX_FEATURES }));
}

#[test]
fn headers_of_version_1_say_where_registers_are() {
    let base = Image::new(0x4000).put(0, header(4, 0, 0x1000, false, 0));
    let v1 = |address: u64, size: u64| {
        base.clone()
            .put(0x1000, header(3, 4, 0, true, 1))
            .guid(0x1008, guid::DUMMY)
            .put(0x1018, address)
            .put(0x1020, size << 32 | 1 << 31 | 3 << 16 | 2)
            // An unknown parameter, then vectors.
            .put(0x1028, 2 << 35 | 9)
            .put(0x1038, 1 << 32 | 1)
            .put(0x1040, 6 << 32 | 5)
    };
    let features = v1(0x800 << 1, 0x100).walk().unwrap();
    let feature = features.private(0, 4).unwrap();
    assert_eq!(feature.registers, Some(Place { bar: 0, offset: 0x1800 }));
    assert_eq!(
        (feature.size, feature.instance, feature.guid),
        (Some(0x100), Some((2, 3)), Some(guid::DUMMY))
    );
    assert_eq!(feature.msix.map(|msix| (msix.start, msix.count)), Some((5, 6)));
    assert!(matches!(v1(0x4000 << 1, 8).walk(), Err(DflError::Registers { registers: 0x5000, .. })));
    assert!(matches!(v1(0x804 << 1, 8).walk(), Err(DflError::Registers { .. })));
    assert!(matches!(v1(0x800 << 1, 0x10000).walk(), Err(DflError::Registers { .. })));

    // An address on the bus is of use where the BAR's address is known, and only inside of it.
    let image = v1(0xf000_2000 | 1, 0x100);
    let mut bar = Counted::new(&image.0);
    let find = |bar: &Counted<'_>| {
        let open = |index: u8| (index == 0).then_some(bar);
        walk(&[Place { bar: 0, offset: 0 }], &open).unwrap().private(0, 4).unwrap().registers
    };
    assert_eq!(find(&bar), None);
    bar.address = Some(0xf000_0000);
    assert_eq!(find(&bar), Some(Place { bar: 0, offset: 0x2000 }));
    bar.address = Some(0xe000_0000);
    assert_eq!(find(&bar), None);

    // Parameters that lead nowhere.
    let endless = v1(0x800 << 1, 0x100).put(0x1028, 9);
    assert!(matches!(endless.walk(), Err(DflError::Parameters { at: 0x1000, .. })));
    let far = v1(0x800 << 1, 0x100).put(0x1028, u64::MAX << 35 | 9);
    assert!(matches!(far.walk(), Err(DflError::Overrun { what: "a parameter", .. })));
}

/// Words that look like headers, more often than noise does.
fn word(random: u64) -> u64 {
    let pick = |shift: u32, of: &[u64]| of[(random >> shift) as usize % of.len()];
    match random % 8 {
        0 => 0,
        1 => u64::MAX,
        2 => random,
        _ => {
            let next = pick(8, &[8, 16, 0x20, 0x28, 0x40, 0x100, 0, 4, 0xff_fff8]);
            let kind = pick(16, &[1, 3, 3, 4, 4, 5, 0, 15]);
            let (id, last) = (pick(24, &[0, 0, 1, 1, 4, 0x10, 0x12, 0xfff]), random >> 32 & 3 == 0);
            header(kind, id, next, last, pick(40, &[0, 0, 0, 1, 1, 2]))
        }
    }
}

#[test]
fn a_million_random_lists_do_no_harm() {
    let mut state = 0x0123_4567_89ab_cdef_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let (mut good, mut bytes) = (0, vec![0; 1024]);
    for round in 0..1_000_000_u32 {
        // A few words change from list to list; now and then all do.
        let changes = if round % 16 == 0 { 128 } else { 6 };
        for _ in 0..changes {
            let at = next() as usize % 128 * 8;
            // The start is looked at by every walk, so that changes most.
            let at = if next() % 3 == 0 { at % 0x80 } else { at };
            bytes[at..at + 8].copy_from_slice(&word(next()).to_le_bytes());
        }
        let len = 8 + next() as usize % 1017;
        let bar = Counted::new(&bytes[..len]);
        let open = |index: u8| (index == 0).then_some(&bar);
        let start = Place { bar: 0, offset: next() % 4 * 8 };
        let result = walk(&[start, Place { bar: 0, offset: 0x100 }], &open);
        assert!(bar.reads.get() < 20_000);
        good += u32::from(result.is_ok());
    }
    assert!(good > 1_000, "some lists are fine: {good}");
}

proptest! {
    #[test]
    fn bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..2048), start in any::<u64>()) {
        let bar = Counted::new(&bytes);
        let open = |index: u8| (index == 0).then_some(&bar);
        let _ = walk(&[Place { bar: 0, offset: start }], &open);
        let _ = walk(&[Place { bar: 0, offset: 0 }, Place { bar: 5, offset: 0 }], &open);
    }
}
