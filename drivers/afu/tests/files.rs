//! Bitstream files: what is in them, and what is refused.

use pmd_afu::gbs::{Builder, Clocks, Gbs, GbsError};
use pmd_afu::guid;
use proptest::prelude::*;

const DATA: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

fn file() -> Vec<u8> {
    Builder::new(guid::DUMMY)
        .platform("test")
        .accelerator("loopback", guid::NLB0)
        .accelerator("exerciser", guid::HE_LBK)
        .clocks(312.5, 156.25)
        .build(&DATA)
}

/// A file with these metadata.
fn with(json: &str) -> Vec<u8> {
    let mut file = file()[..16].to_vec();
    file.extend((json.len() as u32).to_le_bytes());
    file.extend(json.as_bytes());
    file.extend(DATA);
    file
}

fn refused(file: &[u8]) -> GbsError {
    Gbs::parse(file).unwrap_err()
}

#[test]
fn a_file_says_what_it_is_for() {
    let file = file();
    let gbs = Gbs::parse(&file).unwrap();
    let metadata = gbs.metadata();
    assert_eq!((metadata.interface_id, metadata.platform.as_deref()), (guid::DUMMY, Some("test")));
    let names: Vec<_> = metadata.accelerators.iter().map(|afu| (afu.name.as_str(), afu.guid)).collect();
    assert_eq!(names, [("loopback", guid::NLB0), ("exerciser", guid::HE_LBK)]);
    assert_eq!(gbs.clocks(), Clocks { high: Some(312_500), low: Some(156_250) });
    assert_eq!(gbs.clocks().low_mhz(), Some(156), "never faster than asked for");
    assert_eq!(gbs.data(), DATA);
    assert_eq!(gbs.into_owned().data(), DATA);
}

#[test]
fn the_layout_is_that_of_opae() {
    let file = file();
    let magic =
        [0x58, 0x65, 0x6f, 0x6e, 0x46, 0x50, 0x47, 0x41, 0xb7, 0x47, 0x42, 0x53, 0x76, 0x30, 0x30, 0x31];
    assert_eq!(file[..16], magic);
    let len = u32::from_le_bytes(file[16..20].try_into().unwrap()) as usize;
    assert_eq!((file[20], file[20 + len - 1], &file[20 + len..]), (b'{', b'}', &DATA[..]));
}

#[test]
fn every_truncation_is_refused() {
    let whole = file();
    for len in 0..whole.len() {
        if whole.len() - len == 4 {
            // Whole words of data are a shorter bitstream, which only the engine can tell.
            assert!(Gbs::parse(&whole[..len]).is_ok());
            continue;
        }
        let error = refused(&whole[..len]);
        match error {
            GbsError::Foreign => assert_eq!(len, 0),
            GbsError::Truncated { len: has, need } => assert!(has == len && need > len),
            // The data are cut, not the header.
            GbsError::Data { len: data } => assert_eq!(data, 8 - (whole.len() - len)),
            other => panic!("{len}: {other}"),
        }
    }
}

#[test]
fn foreign_files_are_refused_with_the_reason() {
    assert_eq!(refused(&DATA), GbsError::Foreign);
    assert_eq!(refused(b"\x7fELF not a bitstream at all"), GbsError::Foreign);
    assert_eq!(refused(&[0x80, 0x86, 0x1f, 0x1d, 0, 0, 0, 0]), GbsError::Legacy);
    let mut huge = file();
    huge[16..20].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(refused(&huge), GbsError::MetadataLength { len: u32::MAX });
    assert!(matches!(refused(&with("{ not json")), GbsError::Json { line: 1, .. }));
    assert!(refused(&with("{}")).to_string().contains("`version`"));
    assert_eq!(refused(&with(r#"{"version": 2}"#)), GbsError::Version { version: 2 });
    assert_eq!(refused(&with(r#"{"version": 1}"#)), GbsError::Key { key: "afu-image" });
    assert_eq!(refused(&with("[]")), GbsError::Key { key: "version" });
    let image =
        |rest: &str| with(&format!(r#"{{"version": 1, "afu-image": {{"magic-no": 488605312{rest}}}}}"#));
    assert_eq!(refused(&image("")), GbsError::Key { key: "accelerator-clusters" });
    assert_eq!(refused(&image(r#", "accelerator-clusters": []"#)), GbsError::Key { key: "interface-uuid" });
    let id = r#", "accelerator-clusters": [], "interface-uuid": "91c2a3a1-4a23-4e21-a7cd-2b36dbf2ed73""#;
    assert!(Gbs::parse(&image(id)).is_ok(), "clocks and names are optional");
    let bad = |clock: &str| refused(&image(&format!(r#"{id}, "clock-frequency-low": {clock}"#)));
    assert_eq!(bad("-1"), GbsError::Key { key: "clock-frequency-low" });
    assert_eq!(bad("1e300"), GbsError::Key { key: "clock-frequency-low" });
    assert!(
        Gbs::parse(&image(&format!(r#"{id}, "clock-frequency-low": "auto""#)))
            .unwrap()
            .clocks()
            .low
            .is_none()
    );
    let deep = format!("{}{}", "[".repeat(60_000), "]".repeat(5_000));
    assert!(matches!(refused(&with(&deep)), GbsError::Json { .. }), "no stack overflow");
}

proptest! {
    #[test]
    fn damaged_files_do_no_harm(at in 0..600usize, value: u8, cut in 0..600usize) {
        let mut file = file();
        if let Some(byte) = file.get_mut(at) {
            *byte = value;
        }
        file.truncate(cut);
        let _ = Gbs::parse(&file);
    }
}
