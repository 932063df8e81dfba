//! RSS at the level of registers: what the device is told, what is refused, what is read back.

use alloc::vec;
use alloc::vec::Vec;

use vfio_hal::DeviceError;
use vfio_hal::regs::Register;
use vfio_hal::testing::Access;

use super::*;
use crate::hw::Chip;
use crate::regs::{ERETA, RETA};
use crate::testing::{SFP, X540, X550, bench, written};

fn rss(hw: &Hw, config: &RssConfig, queues: u16) -> Result<Rss, PortError> {
    Rss::new(hw.model, Some(config), queues)
}

fn types(types: HashTypes) -> RssConfig {
    RssConfig { types, ..RssConfig::default() }
}

#[test]
fn more_queues_than_an_entry_can_name_are_refused() {
    for (id, max) in [(SFP, 16), (X540, 16), (X550, 64)] {
        let (hw, _) = bench(id);
        assert!(rss(&hw, &RssConfig::default(), max).is_ok());
        for queues in [0, max + 1, u16::MAX] {
            let expected = PortError::OutOfRange {
                what: "the number of RSS queues",
                value: queues.into(),
                min: 1,
                max: max.into(),
            };
            assert_eq!(rss(&hw, &RssConfig::default(), queues).err(), Some(expected));
        }
        assert!(Rss::new(hw.model, None, 64).is_ok(), "without RSS, more queues are fine");
    }
}

#[test]
fn a_hash_type_that_the_device_does_not_have_is_refused_by_name() {
    let (hw, _) = bench(SFP);
    let supported = supported(Chip::I82599);
    assert!(rss(&hw, &types(supported), 4).is_ok());
    let others = [
        (HashTypes::SCTP_IPV4, "RSS over the ports of SCTP over IPv4"),
        (HashTypes::SCTP_IPV6, "RSS over the ports of SCTP over IPv6"),
        (HashTypes::IPV6_EX, "RSS over the addresses in IPv6 extension headers"),
        (HashTypes::TCP_IPV6_EX, "RSS over the addresses in IPv6 extension headers, with TCP ports"),
        (HashTypes::UDP_IPV6_EX, "RSS over the addresses in IPv6 extension headers, with UDP ports"),
    ];
    for (other, what) in others {
        let asked = types(HashTypes::default() | other);
        assert_eq!(rss(&hw, &asked, 4).err(), Some(PortError::Unsupported { what }));
    }
    assert!(matches!(rss(&hw, &types(HashTypes::NONE), 4).err(), Some(PortError::Invalid { .. })));
}

#[test]
fn a_device_that_does_not_take_a_type_is_an_error_not_a_surprise() {
    let (mut hw, device) = bench(SFP);
    let mrqc = MRQC::INFO.offset(0);
    device.registers().react(move |access, registers| {
        if matches!(access, Access::Write { offset, .. } if Some(offset) == mrqc) {
            registers.set(0, registers.get::<MRQC>(0).with_rss_udp_ipv6(false));
        }
    });
    let asked = HashTypes::IPV4 | HashTypes::UDP_IPV6;
    let spread = rss(&hw, &types(asked), 4).unwrap();
    assert!(matches!(spread.apply(&mut hw), Err(PortError::Unsupported { .. })));
    assert_eq!(granted(&hw), Ok(HashTypes::IPV4), "what it does take can be asked for");
}

#[test]
fn each_type_has_its_bit() {
    for (asked, bit) in [
        (HashTypes::TCP_IPV4, 16),
        (HashTypes::IPV4, 17),
        (HashTypes::IPV6, 20),
        (HashTypes::TCP_IPV6, 21),
        (HashTypes::UDP_IPV4, 22),
        (HashTypes::UDP_IPV6, 23),
    ] {
        let (mut hw, device) = bench(SFP);
        rss(&hw, &types(asked), 2).unwrap().apply(&mut hw).unwrap();
        assert_eq!(device.registers().registers().get::<MRQC>(0).bits(), 1 << bit | 1, "{asked}");
        assert_eq!(granted(&hw), Ok(asked));
    }
}

#[test]
fn key_and_table_are_there_before_rss_is_on() {
    let (mut hw, device) = bench(SFP);
    rss(&hw, &RssConfig::default(), 3).unwrap().apply(&mut hw).unwrap();
    let log = device.registers().take_log();
    assert_eq!(written::<RSSRK>(&log).len(), 10);
    assert_eq!(written::<RETA>(&log).len(), 32);
    assert_eq!(written::<ERETA>(&log).len(), 0);
    let last = log.iter().rfind(|access| matches!(access, Access::Write { .. }));
    let on = MRQC::default().with_mrqe(1).to_raw();
    assert!(
        matches!(last, Some(Access::Write { offset, value, .. })
            if Some(*offset) == MRQC::INFO.offset(0) && value & 0xf == on),
        "{last:?}"
    );
    assert!(device.registers().registers().get::<RXCSUM>(0).pcsd());
}

#[test]
fn the_first_byte_of_the_key_is_the_lowest() {
    let (mut hw, device) = bench(SFP);
    let config = RssConfig { key: RssKey(core::array::from_fn(|at| at as u8)), ..RssConfig::default() };
    rss(&hw, &config, 2).unwrap().apply(&mut hw).unwrap();
    let registers = device.registers().registers();
    assert_eq!(registers.get::<RSSRK>(0).bits(), 0x0302_0100);
    assert_eq!(registers.get::<RSSRK>(9).bits(), 0x2726_2524);
    assert_eq!(key(&hw), Ok(config.key));
}

#[test]
fn an_even_table_goes_through_the_queues_in_turn() {
    for (id, len, queues) in [(SFP, 128, 3), (SFP, 128, 16), (X550, 512, 64), (X550, 512, 1)] {
        let (mut hw, _) = bench(id);
        rss(&hw, &RssConfig::default(), queues).unwrap().apply(&mut hw).unwrap();
        let expected: Vec<u16> = (0..queues).cycle().take(len).collect();
        assert_eq!(table::read(&hw), Ok(expected));
    }
}

#[test]
fn a_table_has_the_device_s_length_and_names_queues_of_the_port() {
    let (mut hw, device) = bench(SFP);
    let config = |table| RssConfig { redirection: Redirection::Table(table), ..RssConfig::default() };
    for len in [0, 127, 129, 512] {
        let value = len as u64;
        let what = "the length of the RSS redirection table";
        let expected = PortError::OutOfRange { what, value, min: 128, max: 128 };
        assert_eq!(rss(&hw, &config(vec![0; len]), 4).err(), Some(expected));
    }
    let mut entries = vec![1; 128];
    entries[127] = 4;
    let what = "a queue in the RSS redirection table";
    let expected = PortError::OutOfRange { what, value: 4, min: 0, max: 3 };
    assert_eq!(rss(&hw, &config(entries.clone()), 4).err(), Some(expected));
    rss(&hw, &config(entries.clone()), 5).unwrap().apply(&mut hw).unwrap();
    assert_eq!(table::read(&hw), Ok(entries));
    assert_eq!(device.registers().registers().get::<RETA>(31).bits(), 0x0401_0101);
}

#[test]
fn the_table_changes_while_packets_flow_all_or_nothing() {
    let (mut hw, device) = bench(X550);
    let mut spread = rss(&hw, &RssConfig::default(), 8).unwrap();
    spread.apply(&mut hw).unwrap();
    device.registers().registers().set(0, RXCTRL::default().with_rxen(true));
    spread.update_table(&mut hw, 126, &[7, 7, 7]).unwrap();
    let changed = table::read(&hw).unwrap();
    assert_eq!(changed[124..132], [4, 5, 7, 7, 7, 1, 2, 3]);
    device.registers().take_log();
    assert!(matches!(
        spread.update_table(&mut hw, 510, &[1, 2, 3]),
        Err(PortError::OutOfRange { value: 512, .. })
    ));
    assert!(matches!(spread.update_table(&mut hw, u16::MAX, &[1]), Err(PortError::OutOfRange { .. })));
    assert!(matches!(spread.update_table(&mut hw, 0, &[1, 8]), Err(PortError::OutOfRange { value: 8, .. })));
    assert!(device.registers().log().is_empty());
    spread.apply(&mut hw).unwrap();
    assert_eq!(table::read(&hw).unwrap(), changed, "and is there again after a reset");
    let mut off = Rss::new(hw.model, None, 8).unwrap();
    assert!(matches!(off.update_table(&mut hw, 0, &[1]), Err(PortError::Invalid { .. })));
}

#[test]
fn rss_is_not_switched_on_or_off_under_traffic() {
    let (mut hw, device) = bench(SFP);
    let registers = device.registers().registers().clone();
    let on = rss(&hw, &RssConfig::default(), 2).unwrap();
    let off = Rss::new(hw.model, None, 2).unwrap();
    off.apply(&mut hw).unwrap();
    assert_eq!(granted(&hw), Ok(HashTypes::NONE));
    registers.set(0, RXCTRL::default().with_rxen(true));
    assert!(matches!(on.apply(&mut hw), Err(PortError::Invalid { .. })));
    assert_eq!(registers.get::<MRQC>(0).bits(), 0);
    off.apply(&mut hw).unwrap();
    registers.set(0, RXCTRL::default());
    on.apply(&mut hw).unwrap();
    registers.set(0, RXCTRL::default().with_rxen(true));
    assert!(matches!(off.apply(&mut hw), Err(PortError::Invalid { .. })));
    assert_eq!(registers.get::<MRQC>(0).mrqe(), 1);
    rss(&hw, &types(HashTypes::UDP_IPV4), 2).unwrap().apply(&mut hw).unwrap();
    assert_eq!(granted(&hw), Ok(HashTypes::UDP_IPV4), "but it can be changed");
}

#[test]
fn a_device_that_goes_is_an_error() {
    for after in [0, 1, 2, 20, 44] {
        let (mut hw, device) = bench(SFP);
        let spread = rss(&hw, &RssConfig::default(), 2).unwrap();
        device.registers().die_after(after);
        assert_eq!(spread.apply(&mut hw), Err(DeviceError::Lost.into()), "after {after} accesses");
        assert_eq!((granted(&hw), key(&hw), table::read(&hw)), (lost(), lost(), lost()));
    }
}

fn lost<T>() -> Result<T, DeviceError> {
    Err(DeviceError::Lost)
}

/// Toeplitz' function as Microsoft describes it: for each bit of the input, the 32 bits of the key at its place.
fn toeplitz(key: &RssKey, input: &[u8]) -> u32 {
    let bit = |bytes: &[u8], at: usize| u32::from(bytes[at / 8] >> (7 - at % 8) & 1);
    let window = |at: usize| (0..32).fold(0, |word, next| word << 1 | bit(&key.0, at + next));
    (0..8 * input.len()).filter(|at| bit(input, *at) == 1).fold(0, |hash, at| hash ^ window(at))
}

#[test]
fn the_default_key_is_the_one_of_the_verification_suite() {
    // 66.9.149.187:2794 to 161.142.100.80:1766, from the published table.
    let input = [66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6];
    assert_eq!(toeplitz(&RssConfig::default().key, &input), 0x51cc_c178);
    assert_eq!(toeplitz(&RssConfig::default().key, &input[..8]), 0x323e_8fc2);
}

#[test]
fn the_symmetric_key_puts_both_directions_together() {
    let there = [10, 0, 0, 1, 192, 168, 7, 9, 0x12, 0x34, 0x00, 0x50];
    let back = [192, 168, 7, 9, 10, 0, 0, 1, 0x00, 0x50, 0x12, 0x34];
    assert_eq!(toeplitz(&RssKey::SYMMETRIC, &there), toeplitz(&RssKey::SYMMETRIC, &back));
    assert_ne!(toeplitz(&RssKey::MICROSOFT, &there), toeplitz(&RssKey::MICROSOFT, &back));
    let other = [10, 0, 0, 2, 192, 168, 7, 9, 0x12, 0x34, 0x00, 0x50];
    assert_ne!(toeplitz(&RssKey::SYMMETRIC, &there), toeplitz(&RssKey::SYMMETRIC, &other));
}

#[test]
fn types_have_dpdk_s_names() {
    assert_eq!(alloc::format!("{}", HashTypes::default()), "ipv4 ipv4-tcp ipv6 ipv6-tcp");
    assert_eq!(alloc::format!("{:?}", HashTypes::NONE), "HashTypes(none)");
    assert_eq!(supported(Chip::X550).iter().count(), 6);
}
