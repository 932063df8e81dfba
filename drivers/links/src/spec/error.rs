//! What can be wrong with the text of a link.
//!
//! Key types: [`SpecError`], [`Accepted`].
//! Neighbours: returned by the parser; opening fails with a [`LinkError`](crate::LinkError) instead.

use core::fmt;

use thiserror::Error;

use crate::GeneratorError;
use crate::text::Word;

/// Words that would have been accepted, shown as a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted(pub(super) [&'static [&'static str]; 3]);

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, word) in self.0.iter().copied().flatten().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            f.write_str(word)?;
        }
        Ok(())
    }
}

/// What the text of a link says that cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SpecError {
    /// No link is called that.
    #[error("there is no link \"{kind}\": use {accepted}")]
    UnknownKind {
        /// The word.
        kind: Word,
        /// What there is.
        accepted: Accepted,
    },
    /// The link has no such option.
    #[error("{kind} has no option \"{key}\": use {accepted}")]
    UnknownKey {
        /// The link or device.
        kind: Word,
        /// The word.
        key: Word,
        /// What it has.
        accepted: Accepted,
    },
    /// An option is given twice.
    #[error("{kind} has the option {key} twice: give it once")]
    Twice {
        /// The link or device.
        kind: Word,
        /// The option.
        key: Word,
    },
    /// An option without which the link cannot be.
    #[error("{kind} needs the option {key}: add {example}")]
    Missing {
        /// The link or device.
        kind: Word,
        /// The option.
        key: &'static str,
        /// What it may look like.
        example: &'static str,
    },
    /// The option's value cannot be read.
    #[error("\"{value}\" is no value for {key}: use {expected}")]
    BadValue {
        /// The option.
        key: Word,
        /// Its value; empty when none is given.
        value: Word,
        /// What can be read.
        expected: &'static str,
    },
    /// A generator cannot do that.
    #[error(transparent)]
    Generator(#[from] GeneratorError),
    /// A cable with one end.
    #[error("only one link is pair,id={id}: give a second one the same id")]
    Unpaired {
        /// Which.
        id: Word,
    },
}
