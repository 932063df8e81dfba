//! Just enough of the network: who asks for an address, and who pings it.

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// It is an answer now: send it back.
    Send,
    /// It is for nobody here.
    Ignore,
    /// Somebody says that it is time to go: a UDP datagram to port 9.
    End,
}

/// EtherTypes and protocols.
const ARP: [u8; 2] = [0x08, 0x06];
const IPV4: [u8; 2] = [0x08, 0x00];
const ICMP: u8 = 1;
const UDP: u8 = 17;

/// The port "discard".
const END: [u8; 2] = [0, 9];

/// Makes an answer of a whole Ethernet frame for the station `mac` with the address `ip`, in place.
pub(crate) fn answer(frame: &mut [u8], mac: [u8; 6], ip: [u8; 4]) -> Answer {
    let Some((ethernet, rest)) = frame.split_first_chunk_mut::<14>() else { return Answer::Ignore };
    let kind = [ethernet[12], ethernet[13]];
    let answer = match kind {
        ARP => arp(rest, mac, ip),
        IPV4 => ipv4(rest, ip),
        _ => Answer::Ignore,
    };
    if answer == Answer::Send {
        ethernet.copy_within(6..12, 0);
        ethernet[6..12].copy_from_slice(&mac);
    }
    answer
}

/// Turns "who has" into "is at" (RFC 826).
fn arp(packet: &mut [u8], mac: [u8; 6], ip: [u8; 4]) -> Answer {
    let Some((packet, _)) = packet.split_first_chunk_mut::<28>() else { return Answer::Ignore };
    // Ethernet, IPv4, request.
    if packet[..8] != [0, 1, 8, 0, 6, 4, 0, 1] || packet[24..28] != ip {
        return Answer::Ignore;
    }
    packet[7] = 2;
    packet.copy_within(8..18, 18);
    packet[8..14].copy_from_slice(&mac);
    packet[14..18].copy_from_slice(&ip);
    Answer::Send
}

/// Turns an echo request into a reply (RFC 792).
fn ipv4(packet: &mut [u8], ip: [u8; 4]) -> Answer {
    let Some(header) = packet.first_chunk::<20>() else { return Answer::Ignore };
    let header_len = usize::from(header[0] & 15) * 4;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    // Fragments are not put together.
    if header[0] >> 4 != 4 || header[16..20] != ip || header[6] & 0x3f != 0 || header[7] != 0 {
        return Answer::Ignore;
    }
    let protocol = header[9];
    let Some(payload) = packet.get_mut(header_len..total) else { return Answer::Ignore };
    match (protocol, payload) {
        (ICMP, payload @ [8, 0, ..]) if sum(payload) == 0xffff => {
            payload[0] = 0;
            // The type went from 8 to 0, so the checksum goes up by as much (RFC 1624).
            if let Some(checksum) = payload.get_mut(2..4) {
                let old = u16::from_be_bytes([checksum[0], checksum[1]]);
                let (new, carry) = old.overflowing_add(0x0800);
                checksum.copy_from_slice(&(new + u16::from(carry)).to_be_bytes());
            }
            // Addresses change places, which their checksum does not see.
            let (from, to) = packet[12..20].split_at_mut(4);
            from.swap_with_slice(to);
            Answer::Send
        }
        (UDP, [_, _, to0, to1, ..]) if [*to0, *to1] == END => Answer::End,
        _ => Answer::Ignore,
    }
}

/// Returns the sum in ones' complement of 16-bit words (RFC 1071).
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}
