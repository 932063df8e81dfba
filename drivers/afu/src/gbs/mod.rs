//! GBS files: bitstreams for partial reconfiguration, with what they are for.
//!
//! A file is 16 bytes that say what it is, the length of the metadata (32 bits, little endian), the metadata as JSON, and
//! the data for the engine (OPAE, `libbitstream`). [`Gbs::parse`] takes nothing else: files without metadata (raw, or of
//! the format before it), truncated and damaged ones are refused with the reason, since what is in them cannot be known.
//! Sizes are bounded before anything is allocated.
//!
//! [`Metadata`] is what the JSON says; [`Builder`] makes files, for tests. [`Fme::reconfigure`](crate::Fme::reconfigure)
//! loads them.

mod build;
mod metadata;

use alloc::borrow::Cow;

pub use build::Builder;
pub use metadata::{Accelerator, Clocks, Metadata};

/// What a file starts with (OPAE, `valid_GBS_guid`): `XeonFPGA`, B7h, `GBSv001`.
const MAGIC: [u8; 16] = *b"XeonFPGA\xb7GBSv001";
/// What files of the format before it start with.
const LEGACY_MAGIC: [u8; 4] = 0x1d1f_8680u32.to_le_bytes();
/// Longer metadata than any bitstream has.
const MAX_METADATA: usize = 64 << 10;

/// Why a file is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GbsError {
    /// Not a GBS file.
    #[error(
        "not a GBS file: it does not start as one; a raw bitstream must be packaged with its metadata first"
    )]
    Foreign,
    /// A file of the format without metadata.
    #[error("a GBS file of the old format, without metadata: package it again with `packager`")]
    Legacy,
    /// Shorter than its own header says.
    #[error("the file is truncated: it has {len} bytes, {need} are needed")]
    Truncated {
        /// How long it is, in bytes.
        len: usize,
        /// How long it must be at least, in bytes.
        need: usize,
    },
    /// More metadata than any bitstream has.
    #[error("the file says that its metadata have {len} bytes, more than {MAX_METADATA}: it is damaged")]
    MetadataLength {
        /// How long they are said to be, in bytes.
        len: u32,
    },
    /// Metadata that are no JSON.
    #[error("the metadata are no JSON, in line {line}, column {column}: the file is damaged")]
    Json {
        /// In which line.
        line: usize,
        /// In which column.
        column: usize,
    },
    /// Metadata that lack something.
    #[error("the metadata have no usable `{key}`: package the bitstream again")]
    Key {
        /// What they lack.
        key: &'static str,
    },
    /// A version that is not known.
    #[error("the metadata have version {version}: 1 is known")]
    Version {
        /// The version.
        version: u64,
    },
    /// No data, or not whole words of them.
    #[error("the file has {len} bytes of data: they must be whole 32-bit words, at least one")]
    Data {
        /// How many bytes.
        len: usize,
    },
}

/// A bitstream and what it is for.
#[derive(Clone, Debug)]
pub struct Gbs<'a> {
    metadata: Metadata,
    data: Cow<'a, [u8]>,
}

impl<'a> Gbs<'a> {
    /// Reads a file.
    pub fn parse(file: &'a [u8]) -> Result<Gbs<'a>, GbsError> {
        if file.starts_with(&LEGACY_MAGIC) {
            return Err(GbsError::Legacy);
        }
        let known = file.len().min(MAGIC.len());
        if file.get(..known) != MAGIC.get(..known) || known == 0 {
            return Err(GbsError::Foreign);
        }
        let short = |need| GbsError::Truncated { len: file.len(), need };
        let header = MAGIC.len() + 4;
        let (_, rest) = file.split_at_checked(MAGIC.len()).ok_or(short(header))?;
        let (length, rest) = rest.split_first_chunk::<4>().ok_or(short(header))?;
        let length = u32::from_le_bytes(*length);
        let len = usize::try_from(length).ok().filter(|&len| len <= MAX_METADATA);
        let len = len.ok_or(GbsError::MetadataLength { len: length })?;
        let (json, data) = rest.split_at_checked(len).ok_or(short(header + len))?;
        let metadata = Metadata::parse(json)?;
        if data.is_empty() || !data.len().is_multiple_of(4) {
            return Err(GbsError::Data { len: data.len() });
        }
        Ok(Gbs { metadata, data: Cow::Borrowed(data) })
    }

    /// Returns what it is for.
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Returns the user clock's frequencies that it needs.
    pub fn clocks(&self) -> Clocks {
        self.metadata.clocks
    }

    /// Returns the data for the engine: whole 32-bit words, at least one.
    pub fn data(&self) -> &[u8] {
        &self.data
    }

    /// Returns the same without the file it was read from.
    pub fn into_owned(self) -> Gbs<'static> {
        Gbs { metadata: self.metadata, data: Cow::Owned(self.data.into_owned()) }
    }
}
