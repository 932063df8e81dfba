"""One TCP connection: `serve ADDRESS PORT` receives all, answers with its SHA-256; `ask ADDRESS PORT BYTES` sends that many
bytes and compares."""
import hashlib, os, socket, sys

role, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
if role == "serve":
    server = socket.create_server((address, port), family=family)
    print("ready", flush=True)
    peer, _ = server.accept()
    found = hashlib.sha256()
    while part := peer.recv(1 << 20):
        found.update(part)
    peer.sendall(found.digest())
else:
    block = os.urandom(1 << 20)
    sent, left = hashlib.sha256(), int(sys.argv[4])
    peer = socket.create_connection((address, port), timeout=60)
    while left:
        part = block[:left]
        peer.sendall(part)
        sent.update(part)
        left -= len(part)
    peer.shutdown(socket.SHUT_WR)
    answer = peer.recv(32, socket.MSG_WAITALL)
    assert answer == sent.digest(), f"sent {sent.hexdigest()}, received {answer.hex()}"
