"""The other end of the cable: `OWN-SOCKET QEMU-SOCKET SECONDS-TO-BOOT`, both of QEMU's `-netdev dgram` (one Ethernet frame a datagram).
Asks by ARP who has 192.0.2.2, pings it with every size of payload from 0 to 1,472 bytes, byte for byte, then tells it to
end. Prints a line for each of these that starts with `ok` or `not ok`."""
import select, socket, struct, sys, time

OWN, PEER = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
OWN_IP, PEER_IP = socket.inet_aton("192.0.2.1"), socket.inet_aton("192.0.2.2")

wire = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
wire.bind(sys.argv[1])
# Sending waits for a QEMU that is behind; the script that started it ends one that is stuck.


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def send(destination, kind, payload):
    frame = destination + OWN + struct.pack("!H", kind) + payload
    wire.sendto(frame + b"\0" * (60 - len(frame)), sys.argv[2])


def receive():
    return wire.recv(65536) if select.select([wire], [], [], 0.2)[0] else None


def ip(protocol, payload, number=0):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), number, 0, 64, protocol, 0, OWN_IP, PEER_IP)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def say(good, what):
    print("ok" if good else "not ok", what, flush=True)
    if not good:
        sys.exit(1)


# The machine may still be booting, and its link coming up: requests to nobody are lost.
request = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + OWN + OWN_IP + bytes(6) + PEER_IP
reply = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + PEER + PEER_IP + OWN + OWN_IP
answer, end = None, time.monotonic() + float(sys.argv[3])
while answer is None and time.monotonic() < end:
    try:
        send(b"\xff" * 6, 0x0806, request)
    except (FileNotFoundError, ConnectionRefusedError):
        time.sleep(0.1)
        continue
    answer = receive()
say(answer is not None, "somebody answers ARP")
say(answer[:42] == OWN + PEER + b"\x08\x06" + reply, f"the answer is right: {answer[6:12].hex(':')}")
while receive() is not None:
    pass

COUNT = 1473
answered, wrong, late, outstanding = 0, 0, 0, {}
number = 0
while number < COUNT or outstanding:
    # A few at a time, so that bursts are more than one packet.
    while number < COUNT and len(outstanding) < 24:
        payload = bytes((number + at) & 0xFF for at in range(number))
        head = lambda check: struct.pack("!BBHHH", 8, 0, check, 0x6B69, number)
        echo = head(checksum(head(0) + payload)) + payload
        send(PEER, 0x0800, ip(1, echo, number))
        # The same, with the type of a reply.
        echo = struct.pack("!BB", 0, 0) + bytes(2) + echo[4:]
        echo = echo[:2] + struct.pack("!H", checksum(echo)) + echo[4:]
        outstanding[number] = echo
        number += 1
    frame = receive()
    if frame is None:
        late += 1
        if late > 100:
            break
        continue
    length = struct.unpack("!H", frame[16:18])[0]
    packet = frame[14 : 14 + length]
    expected = outstanding.pop(struct.unpack("!H", packet[26:28])[0], None)
    good = frame[:14] == OWN + PEER + b"\x08\x00" and packet[12:20] == PEER_IP + OWN_IP
    good = good and checksum(packet[:20]) == 0 and packet[20:] == expected
    answered, wrong = answered + good, wrong + (not good)
say(answered == COUNT and not wrong, f"{answered} of {COUNT} echo requests answered, {wrong} wrong")
send(PEER, 0x0800, ip(17, struct.pack("!HHHH", 9, 9, 8, 0)))
