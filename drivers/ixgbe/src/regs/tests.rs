//! The map against figures of the datasheet, and against itself.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use vfio_hal::regs::{Decoder, Register};

use super::*;

/// Name, index, offset: the datasheet's register summary (8.2.1), the ends of arrays and the joints in them.
const SUMMARY: &[(&str, usize, u64)] = &[
    ("CTRL", 0, 0x00000),
    ("STATUS", 0, 0x00008),
    ("CTRL_EXT", 0, 0x00018),
    ("EEC", 0, 0x10010),
    ("EERD", 0, 0x10014),
    ("SWSM", 0, 0x10140),
    ("FWSM", 0, 0x10148),
    ("SW_FW_SYNC", 0, 0x10160),
    ("GCR_EXT", 0, 0x11050),
    ("EITR", 23, 0x0087c),
    ("EITR", 24, 0x12300),
    ("EITR", 128, 0x124a0),
    ("IVAR", 63, 0x009fc),
    ("RDBA", 0, 0x01000),
    ("RDBA", 63, 0x01fc0),
    ("RDBA", 64, 0x0d000),
    ("RDBA", 127, 0x0dfc0),
    ("RDLEN", 1, 0x01048),
    ("RDH", 1, 0x01050),
    ("SRRCTL", 1, 0x01054),
    ("RDT", 1, 0x01058),
    ("RXDCTL", 1, 0x01068),
    ("RSCCTL", 65, 0x0d06c),
    ("DCA_RXCTRL", 127, 0x0dfcc),
    ("TDBA", 127, 0x07fc0),
    ("TDT", 127, 0x07fd8),
    ("TXDCTL", 1, 0x06068),
    ("TDWBA", 1, 0x06078),
    ("DMATXCTL", 0, 0x04a80),
    ("DTXMXSZRQ", 0, 0x08100),
    ("TXPBSIZE", 7, 0x0cc1c),
    ("MTQC", 0, 0x08120),
    ("RTTDCS", 0, 0x04900),
    ("MTA", 127, 0x053fc),
    ("RAL", 127, 0x0a5f8),
    ("RAH", 127, 0x0a5fc),
    ("MPSAR", 255, 0x0a9fc),
    ("VFTA", 127, 0x0a1fc),
    ("FTQF", 127, 0x0e7fc),
    ("PFVLVFB", 127, 0x0f3fc),
    ("PFUTA", 127, 0x0f5fc),
    ("RETA", 31, 0x05c7c),
    ("RSSRK", 9, 0x05ca4),
    ("FDIRHASH", 0, 0x0ee28),
    ("AUTOC", 0, 0x042a0),
    ("LINKS", 0, 0x042a4),
    ("QPRC", 15, 0x013f0),
    ("QPRDC", 15, 0x017f0),
    ("QBTC", 15, 0x08778),
    ("GORC", 0, 0x04088),
    ("PFVFLRE", 1, 0x001c0),
    ("PFMBMEM", 1023, 0x13ffc),
];

#[test]
fn registers_are_where_the_datasheet_has_them() {
    for &(name, index, offset) in SUMMARY {
        let found: Vec<_> = Regs::REGISTERS.iter().filter(|info| info.name == name).collect();
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].offset(index), Some(offset), "{name}[{index}]");
    }
    assert_eq!((RDBA::COUNT, TDBA::COUNT, EITR::COUNT, MTA::COUNT), (128, 128, 129, 128));
}

#[test]
fn no_two_registers_share_a_byte() {
    let mut taken = BTreeMap::new();
    for info in Regs::REGISTERS {
        for (index, offset) in info.places() {
            for byte in offset..offset + info.bits.bytes() {
                let here = format!("{}[{index}]", info.name);
                if let Some(before) = taken.insert(byte, here.clone()) {
                    panic!("{here} and {before} at {byte:#x}");
                }
            }
        }
    }
}

#[test]
fn the_names_are_unique_and_the_fields_apart() {
    let mut names: Vec<_> = Regs::REGISTERS.iter().map(|info| info.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Regs::REGISTERS.len());
    for info in Regs::REGISTERS {
        let mut bits = 0;
        for field in info.fields {
            assert_eq!(bits & field.mask(), 0, "{}.{} overlaps another field", info.name, field.name);
            bits |= field.mask();
        }
    }
}

#[test]
fn the_predecessor_s_addresses_are_aliases() {
    let decoder = Decoder::of::<Ixgbe>();
    let at = |offset| {
        let found = decoder.find(offset).unwrap();
        assert!(found.alias, "{offset:#x}");
        found.to_string()
    };
    assert_eq!(at(0x02100), "SRRCTL[0]");
    assert_eq!(at(0x0213c), "SRRCTL[15]");
    assert_eq!(at(0x0223c), "DCA_RXCTRL[15]");
    assert_eq!(at(0x05408), "RAL[1]");
    assert_eq!(at(0x0547c), "RAH[15]");
    assert_eq!(at(0x05480), "PSRTYPE[0]");
    assert_eq!(at(0x05818), "MRQC");
    assert_eq!(at(0x11068), "PBACL[0]");
    assert!(!decoder.find(0x01014).unwrap().alias);
    assert!(decoder.find(0x02140).unwrap().info.name == "RTRPT4C");
}

#[test]
fn bits_are_where_the_datasheet_has_them() {
    assert_eq!(CTRL::default().with_rst(true).with_lrst(true).bits(), 0x0400_0008);
    assert!(STATUS::new(1 << 19).pcie_master_enable());
    let srrctl =
        SRRCTL::default().with_bsizepacket(2).with_bsizeheader(4).with_desctype(1).with_drop_en(true);
    assert_eq!(srrctl.bits(), 0x1200_0402);
    assert_eq!(RXDCTL::default().with_enable(true).with_vme(true).bits(), 0x4200_0000);
    assert_eq!(TXDCTL::default().with_pthresh(36).with_hthresh(8).with_wthresh(4).bits(), 0x0004_0824);
    assert_eq!(RAH::default().with_rah(0x5544).with_av(true).bits(), 0x8000_5544);
    assert_eq!(
        MRQC::default().with_mrqe(1).with_rss_tcp_ipv4(true).with_rss_udp_ipv6(true).bits(),
        0x0081_0001
    );
    assert_eq!(LINKS::new(0x7000_0000).link_speed(), 3);
    assert_eq!(EERD::default().with_start(true).with_addr(0x3f).bits(), 0xfd);
    assert_eq!(EITR::default().with_itr_interval(488).bits(), 488 << 3);
    assert_eq!(
        FDIRCTRL::default().with_pballoc(1).with_perfect_match(true).with_full_thresh(4).bits(),
        0x4000_0011
    );
    assert_eq!(IVAR::default().with_rx1(3).with_rx1_valid(true).bits(), 0x0083_0000);
}
