//! Answers in place to what asks whether somebody is there: ARP, ping over IPv4 and IPv6, IPv6 neighbour solicitation.
//!
//! As in testpmd, every address is answered for.

use vfio_hal::pmd::MacAddr;

const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];
const IPV6: [u8; 2] = [0x86, 0xdd];
const VLAN: [u8; 2] = [0x81, 0x00];

/// Turns a request into its answer from `own`; `false` if the frame is not one.
pub(crate) fn answer(frame: &mut [u8], own: MacAddr) -> bool {
    // Behind the addresses, at most one VLAN tag, which the answer keeps.
    let tagged = frame.get(12..14) == Some(&VLAN);
    let kind_at = if tagged { 16 } else { 12 };
    let Some((header, payload)) = frame.split_at_mut_checked(kind_at + 2) else { return false };
    let answered = match header.last_chunk::<2>() {
        Some(&ARP) => arp(payload, own),
        Some(&IPV4) => ping4(payload),
        Some(&IPV6) => ping6(payload, own),
        _ => false,
    };
    if answered && let Some(addresses) = header.first_chunk_mut::<12>() {
        addresses.copy_within(6..12, 0);
        addresses[6..].copy_from_slice(&own.0);
    }
    answered
}

/// RFC 826: a request for an IPv4 address gets our hardware address.
fn arp(packet: &mut [u8], own: MacAddr) -> bool {
    let Some(arp) = packet.first_chunk_mut::<28>() else { return false };
    let [.., target_a, target_b, target_c, target_d] = *arp;
    if arp[..8] != [0, 1, 0x08, 0x00, 6, 4, 0, 1] {
        return false;
    }
    arp[7] = 2;
    // Sender becomes target, hardware and protocol address together; the address asked for becomes the sender's.
    arp.copy_within(8..18, 18);
    arp[8..14].copy_from_slice(&own.0);
    arp[14..18].copy_from_slice(&[target_a, target_b, target_c, target_d]);
    true
}

/// RFC 792: an echo request gets a reply.
fn ping4(packet: &mut [u8]) -> bool {
    const MORE_OR_OFFSET: u16 = 0x3fff;
    let Some(&[version, _, len_a, len_b, _, _, frag_a, frag_b, _, protocol]) = packet.first_chunk::<10>()
    else {
        return false;
    };
    let (header, total) = (usize::from(version & 0xf) * 4, usize::from(u16::from_be_bytes([len_a, len_b])));
    let fragment = u16::from_be_bytes([frag_a, frag_b]) & MORE_OR_OFFSET != 0;
    if version >> 4 != 4 || header < 20 || protocol != 1 || fragment {
        return false;
    }
    let Some(packet) = packet.get_mut(..total) else { return false };
    let Some((ip, icmp)) = packet.split_at_mut_checked(header) else { return false };
    let Some(&mut [ref mut kind, 0, ref mut sum_a, ref mut sum_b, ..]) = icmp.first_chunk_mut::<8>() else {
        return false;
    };
    if *kind != 8 {
        return false;
    }
    *kind = 0;
    // RFC 1624: the sum changes by the type alone, 8 to 0 in the high byte.
    let old = u16::from_be_bytes([*sum_a, *sum_b]);
    let sum = fold(u32::from(!old) + u32::from(!0x0800u16));
    [*sum_a, *sum_b] = (!sum).to_be_bytes();
    swap(ip, 12, 16, 4);
    true
}

/// RFC 4443 echo request, RFC 4861 neighbour solicitation.
fn ping6(packet: &mut [u8], own: MacAddr) -> bool {
    const HEADER: usize = 40;
    const ICMPV6: u8 = 58;
    let Some(&[version, _, _, _, len_a, len_b, next]) = packet.first_chunk::<7>() else { return false };
    let total = HEADER + usize::from(u16::from_be_bytes([len_a, len_b]));
    if version >> 4 != 6 || next != ICMPV6 {
        return false;
    }
    let Some(packet) = packet.get_mut(..total) else { return false };
    let Some((ip, icmp)) = packet.split_at_mut_checked(HEADER) else { return false };
    match icmp {
        [kind @ 128, 0, _, _, ..] => {
            *kind = 129;
            // A reply to a group comes from a group's member; we answer for every address, so from the one asked.
            swap(ip, 8, 24, 16);
        }
        [135, 0, _, _, rest @ ..] if rest.len() >= 20 => {
            let mut target = [0; 16];
            target.copy_from_slice(&rest[4..20]);
            // RFC 4861 7.2.4: solicited and override; 7.2.3: from a host without an address there is nothing to answer.
            if ip[8..24].iter().all(|&byte| byte == 0) || icmp.len() < 32 {
                return false;
            }
            icmp[0] = 136;
            icmp[4..8].copy_from_slice(&[0x60, 0, 0, 0]);
            icmp[24..26].copy_from_slice(&[2, 1]);
            icmp[26..32].copy_from_slice(&own.0);
            ip.copy_within(8..24, 24);
            ip[8..24].copy_from_slice(&target);
        }
        _ => return false,
    }
    let sum = checksum6(ip, icmp);
    icmp[2..4].copy_from_slice(&sum.to_be_bytes());
    true
}

fn swap(bytes: &mut [u8], first: usize, second: usize, len: usize) {
    for index in 0..len {
        bytes.swap(first + index, second + index);
    }
}

/// Returns the sum of an ICMPv6 message, pseudo-header included (RFC 8200 8.1).
fn checksum6(ip: &[u8], icmp: &mut [u8]) -> u16 {
    icmp[2..4].fill(0);
    let addresses = sum(ip.get(8..40).unwrap_or_default());
    !fold(addresses + icmp.len() as u32 + 58 + sum(icmp))
}

/// Returns the Internet checksum of `bytes` (RFC 1071).
pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    !fold(sum(bytes))
}

/// Returns the sum of `bytes` as words of the network's order, not folded.
pub(crate) fn sum(bytes: &[u8]) -> u32 {
    let (words, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |&byte| u32::from(byte) << 8);
    words.iter().map(|word| u32::from(u16::from_be_bytes(*word))).sum::<u32>() + last
}

pub(crate) fn fold(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    ((sum & 0xffff) + (sum >> 16)) as u16
}
