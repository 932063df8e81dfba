"""Ping that counts exactly: `ADDRESS COUNT INTERVAL SIZE`. Every echo request has until five seconds after the last one;
ping(8) itself gives up two round trips after it, which on a busy machine takes late answers for lost ones."""
import os, select, socket, struct, sys, time

address, count, interval, size = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
six = ":" in address
family, protocol = (socket.AF_INET6, socket.IPPROTO_ICMPV6) if six else (socket.AF_INET, socket.IPPROTO_ICMP)
peer = socket.socket(family, socket.SOCK_RAW, protocol)
peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
own = os.getpid() & 0xFFFF


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def request(number):
    payload = bytes((number + at) & 0xFF for at in range(size & ~1))
    head = lambda checksum: struct.pack("!BBHHH", 128 if six else 8, 0, checksum, own, number)
    # The kernel fills in the checksum of ICMPv6.
    return head(0 if six else checksum(head(0) + payload)) + payload, payload


missing, sent = {}, 0
due = end = time.monotonic()
while (sent < count or missing) and time.monotonic() < end + 5:
    if sent < count and time.monotonic() >= due:
        packet, missing[sent] = request(sent)
        peer.sendto(packet, (address, 0))
        sent, due, end = sent + 1, due + interval, time.monotonic()
    wait = max(0, due - time.monotonic()) if sent < count else 0.1
    if not select.select([peer], [], [], wait)[0]:
        continue
    data = peer.recv(65536)
    data = data if six else data[(data[0] & 15) * 4 :]
    kind, _, _, who, number = struct.unpack("!BBHHH", data[:8])
    # Raw sockets see everybody's messages.
    if kind == (129 if six else 0) and who == own and missing.get(number) == data[8:]:
        del missing[number]
print(f"{sent} sent, {sent - len(missing)} answered")
sys.exit(bool(missing))
