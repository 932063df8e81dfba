//! The stream: a head, sections with a checksum each, an end that sums them up.
//!
//! ```text
//! head      "IX82599\0", version u32, device id u16, 0 u16
//! section   number u32, length u32, CRC-32C u32, 0 u32, then the bytes
//! end       number 0; for each section in order the CRC-32C of its last version
//! ```
//!
//! A section that comes again replaces what came before: pre-copy sends all of them while the device runs, and once it
//! stands still only those that changed since. Nothing is taken over before the end has come and everything was checked.
//!
//! Key types: [`Saving`], [`Restoring`]. Neighbours: [`sections`] says what is in which section.

mod sections;

use super::StateError;
use crate::checksum::crc32c;
use crate::model::Model82599;
use sections::{COUNT, LIMITS};

const MAGIC: [u8; 8] = *b"IX82599\0";
/// Grows with every change of what is in a section.
const VERSION: u32 = 1;
const HEAD: usize = 16;
/// The number of the end.
const END: u32 = 0;

/// A state on its way out.
#[derive(Default)]
pub(super) struct Saving {
    /// What of each section was given last.
    given: [Vec<u8>; COUNT],
    out: Vec<u8>,
    /// Bytes of `out` that are gone.
    at: usize,
    failed: Option<StateError>,
}

impl Saving {
    /// Starts; `running` leaves the end open.
    pub(super) fn start(&mut self, model: &Model82599, running: bool) {
        self.failed = self.begin(model).err();
        if !running {
            self.finish();
        }
    }

    /// The device stands still: adds what changed, and the end.
    pub(super) fn stop(&mut self, model: &Model82599) {
        let result = self.changes(model);
        self.failed = self.failed.or(result.err());
        self.finish();
    }

    /// Adds the head and all sections.
    pub(super) fn begin(&mut self, model: &Model82599) -> Result<(), StateError> {
        self.out.extend_from_slice(&MAGIC);
        self.out.extend_from_slice(&VERSION.to_le_bytes());
        self.out.extend_from_slice(&u32::from(model.core.config.part.device_id()).to_le_bytes());
        self.changes(model)
    }

    fn changes(&mut self, model: &Model82599) -> Result<(), StateError> {
        for (index, limit) in LIMITS.into_iter().enumerate() {
            let bytes = sections::save(model, index);
            if bytes.len() > limit {
                let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                return Err(StateError::Section { kind: index as u32 + 1, len });
            }
            if bytes != self.given[index] {
                self.section(index as u32 + 1, &bytes);
                self.given[index] = bytes;
            }
        }
        Ok(())
    }

    /// Adds the end.
    pub(super) fn finish(&mut self) {
        let sums: Vec<u8> = self.given.iter().flat_map(|bytes| crc32c(bytes).to_le_bytes()).collect();
        self.section(END, &sums);
    }

    fn section(&mut self, number: u32, bytes: &[u8]) {
        for word in [number, bytes.len() as u32, crc32c(bytes), 0] {
            self.out.extend_from_slice(&word.to_le_bytes());
        }
        self.out.extend_from_slice(bytes);
    }

    /// Fills the front of `data`; returns how much.
    pub(super) fn give(&mut self, data: &mut [u8]) -> Result<usize, StateError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let rest = &self.out[self.at..];
        let len = rest.len().min(data.len());
        data[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        if self.at == self.out.len() {
            self.out.clear();
            self.at = 0;
        }
        Ok(len)
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.out
    }
}

/// A state on its way in.
#[derive(Default)]
pub(super) struct Restoring {
    /// A head, or the bytes of a section, as far as they are here.
    partial: Vec<u8>,
    /// The stream's head came; it names this device.
    part: Option<u16>,
    /// The section that is coming: number, length, checksum.
    coming: Option<(u32, usize, u32)>,
    sections: [Option<Vec<u8>>; COUNT],
    ended: bool,
    failed: Option<StateError>,
}

impl Restoring {
    /// Takes the next bytes.
    pub(super) fn take(&mut self, data: &[u8]) -> Result<(), StateError> {
        if self.failed.is_none() {
            self.failed = self.try_take(data).err();
        }
        self.failed.map_or(Ok(()), Err)
    }

    fn try_take(&mut self, mut data: &[u8]) -> Result<(), StateError> {
        while !data.is_empty() {
            if self.ended {
                return Err(StateError::Trailing);
            }
            let want = self.coming.map_or(HEAD, |(_, len, _)| len);
            let (part, rest) = data.split_at((want - self.partial.len()).min(data.len()));
            self.partial.extend_from_slice(part);
            data = rest;
            if self.partial.len() == want {
                let bytes = std::mem::take(&mut self.partial);
                self.piece(bytes)?;
                // A section without bytes is there at once.
                if let Some((_, 0, _)) = self.coming {
                    self.piece(Vec::new())?;
                }
            }
        }
        Ok(())
    }

    fn piece(&mut self, bytes: Vec<u8>) -> Result<(), StateError> {
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if let Some((number, _, sum)) = self.coming.take() {
            if crc32c(&bytes) != sum {
                return Err(StateError::Checksum);
            }
            return match (number as usize).checked_sub(1) {
                Some(index) => {
                    self.sections[index] = Some(bytes);
                    Ok(())
                }
                None => self.end(&bytes),
            };
        }
        if self.part.is_none() {
            if bytes[..8] != MAGIC {
                return Err(StateError::Foreign);
            }
            if word(8) != VERSION {
                return Err(StateError::Version { found: word(8), known: VERSION });
            }
            self.part = Some(word(12) as u16);
            return if word(12) >> 16 == 0 { Ok(()) } else { Err(StateError::Foreign) };
        }
        let (number, len) = (word(0), word(4));
        let limit = match number {
            END => COUNT * 4,
            _ => LIMITS.get(number as usize - 1).copied().unwrap_or(0),
        };
        if len as usize > limit || number as usize > COUNT || word(12) != 0 {
            return Err(StateError::Section { kind: number, len });
        }
        self.coming = Some((number, len as usize, word(8)));
        Ok(())
    }

    fn end(&mut self, sums: &[u8]) -> Result<(), StateError> {
        if sums.len() != COUNT * 4 {
            return Err(StateError::Truncated);
        }
        for (section, sum) in self.sections.iter().zip(sums.chunks_exact(4)) {
            let section = section.as_ref().ok_or(StateError::Truncated)?;
            if crc32c(section).to_le_bytes() != sum {
                return Err(StateError::Checksum);
            }
        }
        self.ended = true;
        Ok(())
    }

    /// Everything came: the model becomes it, or stays as it is.
    pub(super) fn finish(self, model: &mut Model82599) -> Result<(), StateError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let found = self.part.ok_or(StateError::Truncated)?;
        let own = model.core.config.part.device_id();
        if found != own {
            return Err(StateError::Part { found, own });
        }
        if !self.ended {
            return Err(StateError::Truncated);
        }
        sections::load(model, self.sections.map(Option::unwrap_or_default))
    }
}
