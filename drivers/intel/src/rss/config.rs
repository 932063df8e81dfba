//! What an application asks of RSS.

use alloc::vec::Vec;

use super::types::HashTypes;

/// How received packets are spread over queues.
///
/// ```
/// use pmd_intel::rss::{HashTypes, Redirection, RssConfig, RssKey};
///
/// // Both directions of a connection on the same queue, UDP by its ports too, most of it on queue 1.
/// let mut table = vec![1; 128];
/// table[..32].fill(0);
/// let rss = RssConfig {
///     key: RssKey::SYMMETRIC,
///     types: RssConfig::default().types | HashTypes::UDP_IPV4 | HashTypes::UDP_IPV6,
///     redirection: Redirection::Table(table),
/// };
/// # let _ = rss;
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RssConfig {
    /// The key of the hash: Microsoft's.
    pub key: RssKey,
    /// What is hashed: addresses, and the ports of TCP. See [`HashTypes`] for why not those of UDP.
    pub types: HashTypes,
    /// Which queue the hash stands for: all in turn.
    pub redirection: Redirection,
}

/// Which queue each value of the hash stands for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Redirection {
    /// All receive queues in turn, each as often as the others.
    #[default]
    Even,
    /// A queue for each entry of the table: 128 entries, 512 on the X550 only.
    Table(Vec<u16>),
}

/// The key of the Toeplitz hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RssKey(pub [u8; 40]);

impl RssKey {
    /// The key of Microsoft's verification suite, which most drivers come with: whoever knows it can compute which
    /// queue a flow is on, and flood one.
    pub const MICROSOFT: RssKey = RssKey([
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ]);

    /// A key of period 16 bits (6d5a): source and destination may change places, so that both directions of a
    /// connection are on one queue. The hash has fewer different values (Woo and Park, "Scalable TCP Session
    /// Monitoring with Symmetric Receive-side Scaling", 2012).
    pub const SYMMETRIC: RssKey = RssKey(repeat([0x6d, 0x5a]));

    /// Returns the key as the device's registers hold it: the first byte lowest.
    pub fn words(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.as_chunks::<4>().0.iter().map(|bytes| u32::from_le_bytes(*bytes))
    }
}

impl RssKey {
    /// Returns the key that the device's ten registers hold.
    pub fn from_words(words: [u32; 10]) -> RssKey {
        let mut key = [0; 40];
        for (bytes, word) in key.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
        RssKey(key)
    }
}

impl Default for RssKey {
    fn default() -> RssKey {
        RssKey::MICROSOFT
    }
}

const fn repeat(pair: [u8; 2]) -> [u8; 40] {
    let mut key = [0; 40];
    let mut at = 0;
    while at < key.len() {
        key[at] = pair[at % 2];
        at += 1;
    }
    key
}
