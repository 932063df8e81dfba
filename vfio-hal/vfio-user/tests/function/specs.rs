//! Functions that cannot exist are refused.

use vfio_user_kit::{BarKind, BarSpec, Config, SpecError};

use super::*;

fn refusal(change: impl FnOnce(&mut vfio_user_kit::Spec)) -> SpecError {
    let mut spec = spec();
    change(&mut spec);
    let error = Config::new(&spec).expect_err("a function that cannot exist");
    assert_eq!(spec.check(), Err(error));
    error
}

fn bar(index: u8, size: u64, kind: BarKind) -> BarSpec {
    BarSpec { index, size, kind }
}

#[test]
fn bars_must_fit_and_not_collide() {
    for (index, kind) in [(6, BarKind::Memory32), (255, BarKind::Io), (5, BarKind::Memory64)] {
        assert_eq!(refusal(|spec| spec.bars = vec![bar(index, 4096, kind)]), SpecError::BarIndex { index });
    }
    assert_eq!(
        refusal(|spec| spec.bars.push(bar(1, 4096, BarKind::Memory32))),
        SpecError::BarOverlap { index: 1 }
    );
    assert_eq!(
        refusal(|spec| spec.bars.push(bar(3, 4096, BarKind::Memory32))),
        SpecError::BarOverlap { index: 3 }
    );
}

#[test]
fn bar_sizes_must_be_expressible() {
    let bad = [
        (0, BarKind::Memory32),
        (8, BarKind::Memory32),
        (3000, BarKind::Memory32),
        (1 << 32, BarKind::Memory32),
        (2, BarKind::Io),
        (512, BarKind::Io),
        (u64::MAX, BarKind::Memory64),
    ];
    for (size, kind) in bad {
        let error = refusal(|spec| spec.bars = vec![bar(0, size, kind)]);
        assert_eq!(error, SpecError::BarSize { index: 0, size });
    }
}

#[test]
fn vectors_must_fit() {
    assert_eq!(refusal(|spec| spec.msix_vectors = 2049), SpecError::Vectors { kind: "MSI-X", vectors: 2049 });
    for vectors in [3, 31, 33, 64, 255] {
        assert_eq!(
            refusal(|spec| spec.msi_vectors = vectors),
            SpecError::Vectors { kind: "MSI", vectors: vectors.into() }
        );
    }
    for msix_bar in [1, 2, 7] {
        let error = refusal(|spec| spec.msix_bar = msix_bar);
        assert!(matches!(error, SpecError::MsixBar { index, .. } if index == msix_bar));
    }
    // 256 vectors fill a page, and their pending bits have no room behind it.
    let error = refusal(|spec| (spec.msix_vectors, spec.msix_bar) = (256, 3));
    assert_eq!(error, SpecError::MsixBar { index: 3, need: 4096 + 32 });
}

#[test]
fn a_table_larger_than_half_its_bar_has_the_pending_bits_behind_it() {
    let mut spec = spec();
    (spec.msix_vectors, spec.msix_bar) = (200, 3);
    spec.check().unwrap();
    assert_eq!(spec.pending_offset(), 3200);
}

#[test]
fn doorbells_must_be_registers() {
    for (bar, offset) in [(0, 0x1019), (0, 512 << 10), (1, 0), (9, 0), (4, 0), (4, 0x3fc), (4, 0x2004)] {
        let error = refusal(|spec| spec.doorbells = vec![(bar, offset)]);
        assert_eq!(error, SpecError::Doorbell { bar, offset });
    }
    for doorbells in [vec![(0, 8), (0, 8)], vec![(3, 0), (0, 0)], vec![(0, 8), (0, 4)]] {
        let (bar, offset) = doorbells[1];
        let error = refusal(|spec| spec.doorbells = doorbells);
        assert_eq!(error, SpecError::DoorbellOrder { bar, offset });
    }
    let mut spec = spec();
    spec.doorbells = vec![(0, 0), (3, 0), (4, 0x400), (4, 0x2008)];
    assert_eq!(spec.check(), Ok(()), "beside the table there is room");
}
