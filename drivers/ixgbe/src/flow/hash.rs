//! The flow director's hash (82599 datasheet 7.1.2.7.4): an exact filter lies in the bucket that it gives.

/// The key for buckets that Linux and DPDK use too.
pub(super) const BUCKET_KEY: u32 = 0x3dad_14e2;
/// The key for signatures; exact filters have none, but the device wants one.
pub(super) const SIGNATURE_KEY: u32 = 0x174d_3614;

/// Returns the low 15 bits of the hash over a filter's dwords, big endian: `flow` is the first one, with pool, type and
/// VLAN, `rest` all others, exclusive-or.
///
/// Each bit of the key adds 16 bits of the stream, from its own place on, over and over; so all dwords behind the first
/// may be folded into one. Bits 16 to 31 of the key see it as it is, bits 0 to 15 with its halves swapped. The first
/// dword is added to both, and not for key bit 0, whose window ends before it.
pub(super) fn bucket(key: u32, flow: u32, rest: u32) -> u16 {
    let swapped = rest.rotate_left(16);
    let windows = |n: u32| {
        let lower = if n == 0 { swapped } else { swapped ^ flow ^ flow << 16 };
        let upper = rest ^ flow ^ flow >> 16;
        [(n, lower), (n + 16, upper)].map(|(bit, stream)| if key >> bit & 1 == 1 { stream >> n } else { 0 })
    };
    let hash = (0..16).flat_map(windows).fold(0, |hash, window| hash ^ window);
    hash as u16 & 0x7fff
}
