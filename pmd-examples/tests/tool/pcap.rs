//! Capture files, written and read by other code than the tool's.

use std::path::{Path, PathBuf};

/// Writes a capture in the classic format with nanoseconds.
pub(crate) fn write(path: &Path, frames: &[Vec<u8>]) {
    let mut file = Vec::new();
    for word in [0xa1b2_3c4d, 4 << 16 | 2, 0, 0, 262_144, 1] {
        file.extend(u32::to_le_bytes(word));
    }
    for (number, frame) in frames.iter().enumerate() {
        for word in [1_700_000_000, number as u32, frame.len() as u32, frame.len() as u32] {
            file.extend(word.to_le_bytes());
        }
        file.extend(frame);
    }
    std::fs::write(path, file).unwrap();
}

/// Reads a capture in the classic format, little-endian, that kept whole frames.
#[track_caller]
pub(crate) fn read(path: &Path) -> Vec<Vec<u8>> {
    let file = std::fs::read(path).unwrap();
    let (header, mut rest) = file.split_first_chunk::<24>().expect("a header");
    assert_eq!(header[..4], 0xa1b2_3c4d_u32.to_le_bytes(), "nanoseconds, little-endian");
    let mut frames = Vec::new();
    while let Some((record, data)) = rest.split_first_chunk::<16>() {
        let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
        assert_eq!(word(8), word(12), "whole frames");
        let (frame, after) = data.split_at_checked(word(8) as usize).expect("a whole record");
        frames.push(frame.to_vec());
        rest = after;
    }
    assert!(rest.is_empty(), "the file ends behind a record");
    frames
}

/// A directory with an input and outputs, and the ports that play the one and write the others.
pub(crate) struct Files(tempfile::TempDir);

impl Files {
    pub(crate) fn new(frames: &[Vec<u8>]) -> Files {
        let files = Files(tempfile::tempdir().unwrap());
        write(&files.path("in.pcap"), frames);
        files
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// One port, which sends to itself what it receives.
    pub(crate) fn one_port(&self) -> String {
        let (rx, tx) = (self.path("in.pcap"), self.path("out.pcap"));
        format!("--vdev net_pcap0,rx_pcap={},tx_pcap={}", rx.display(), tx.display())
    }

    pub(crate) fn out(&self) -> Vec<Vec<u8>> {
        read(&self.path("out.pcap"))
    }
}

/// Returns the frame as a MAC sends it: at least 60 bytes.
pub(crate) fn padded(frame: &[u8]) -> Vec<u8> {
    let mut frame = frame.to_vec();
    frame.resize(frame.len().max(60), 0);
    frame
}
