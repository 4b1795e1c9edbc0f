"""Clients of the example ws_chat. It asserts, and prints "all well" at the end."""

import asyncio
import socket
import sys

import websockets

ADDRESS = sys.argv[1]
# Only something broken takes this long.
PATIENCE = 60


def connect(name, **options):
    options = {"max_size": None, "ping_interval": None, **options}
    return websockets.connect(f"ws://{ADDRESS}/{name}", **options)


async def echo():
    async with connect("echo", compression="deflate") as ws:
        assert ws.extensions == [], "the server does not compress"
        for length in [0, 1, 125, 126, 127, 65535, 65536, 1 << 20]:
            for message in ["ü" * length, bytes(length)]:
                await ws.send(message)
                assert await ws.recv() == message
        # Fragments, with a ping between them.
        await ws.send(["one ", "two ", "three"])
        assert await ws.recv() == "one two three"
        await asyncio.wait_for(await ws.ping(b"x" * 125), PATIENCE)
        # Many before the first answer is read.
        for n in range(100):
            await ws.send(f"message {n}")
        for n in range(100):
            assert await ws.recv() == f"message {n}"
        await ws.close(3000, "reason")
        assert (ws.close_code, ws.close_reason) == (3000, "reason")


def frame(first, payload=b"", second=None):
    """A masked frame; the mask is zero."""
    second = len(payload) if second is None else second
    return bytes([first, 0x80 | second]) + bytes(4) + payload


# What the server must close the connection for, and with which code.
ILLEGAL = [
    ("reserved bits", [frame(0xF1, b"x")], 1002),
    ("a reserved opcode", [frame(0x83, b"x")], 1002),
    ("a reserved control opcode", [frame(0x8B)], 1002),
    ("a ping in fragments", [frame(0x09, b"x")], 1002),
    ("a long ping", [frame(0x89, (126).to_bytes(2, "big") + bytes(4) + b"x" * 126, 126)], 1002),
    ("not masked", [bytes([0x81, 1]) + b"x"], 1002),
    ("nothing to continue", [frame(0x80, b"x")], 1002),
    ("a message within a message", [frame(0x01, b"x"), frame(0x81, b"y")], 1002),
    ("no UTF-8", [frame(0x81, b"\xff")], 1007),
    ("no UTF-8, in fragments", [frame(0x01, b"\xce"), frame(0x80, b"\xff")], 1007),
]


async def illegal():
    for what, frames, code in ILLEGAL:
        async with connect("echo") as ws:
            for bytes_ in frames:
                ws.transport.write(bytes_)
            await asyncio.wait_for(ws.wait_closed(), PATIENCE)
            assert ws.close_code == code, f"{what}: closed with {ws.close_code}"


async def chat():
    members = []
    for n in range(20):
        ws = await connect(f"member{n}")
        assert await ws.recv() == f"welcome, member{n}: {n} others are here"
        for other in members:
            assert await other.recv() == f"member{n} is here"
        members.append(ws)
    for n, speaker in enumerate(members):
        await speaker.send(f"hello from {n}")
        for other in members:
            if other is not speaker:
                assert await other.recv() == f"member{n}: hello from {n}"
    # One that does not read is disconnected; the others receive everything.
    slow = socket.create_connection(ADDRESS.rsplit(":", 1))
    slow.sendall(
        b"GET /slow HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    speaker, reader = members[0], members[1]
    assert await reader.recv() == "slow is here"
    text = "x" * 1_000_000
    for _ in range(60):
        await speaker.send(text)
        assert await reader.recv() == f"member0: {text}"
        for other in members[2:]:
            while len(await other.recv()) < len(text):
                pass
    slow.settimeout(PATIENCE)
    received = 0
    try:
        while chunk := slow.recv(1 << 20):
            received += len(chunk)
    except ConnectionResetError:
        pass
    assert received < 60 * len(text), "it received everything, and was not too slow"
    for ws in members:
        await ws.close()


async def main():
    await asyncio.wait_for(echo(), PATIENCE)
    await asyncio.wait_for(illegal(), PATIENCE)
    await asyncio.wait_for(chat(), PATIENCE)
    print("all well")


asyncio.run(main())
