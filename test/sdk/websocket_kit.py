"""A WebSocket client of a few lines, that can also do what a client must not."""

import base64
import os
import socket
import struct


class Refused(Exception):
    def __init__(self, status, body):
        super().__init__(status, body)
        self.status, self.body = status, body


class WebSocket:
    def __init__(self, port, host, path="/", headers=(), protocol=None, timeout=60):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        lines = ["GET %s HTTP/1.1" % path, "Host: %s" % host, "Upgrade: websocket",
                 "Connection: Upgrade", "Sec-WebSocket-Version: 13", "User-Agent: kit",
                 "Sec-WebSocket-Key: " + base64.b64encode(os.urandom(16)).decode()]
        lines += ["%s: %s" % h for h in headers]
        self.sock.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.fill()
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        status, *fields = head.decode().split("\r\n")
        self.headers = dict(f.lower().split(": ", 1) for f in fields)
        self.status = int(status.split()[1])
        if self.status != 101:
            while len(self.buffer) < int(self.headers.get("content-length", 0)):
                self.fill()
            self.sock.close()
            raise Refused(self.status, self.buffer.decode())

    def fill(self):
        data = self.sock.recv(65536)
        if not data:
            raise EOFError(self.buffer)
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.fill()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def frame(self, opcode, data=b"", fin=True, masked=True, reserved=0):
        n = len(data)
        head = bytes([(0x80 if fin else 0) | reserved << 4 | opcode])
        bit = 0x80 if masked else 0
        head += bytes([bit | n]) if n < 126 else \
            bytes([bit | 126]) + struct.pack(">H", n) if n < 65536 else \
            bytes([bit | 127]) + struct.pack(">Q", n)
        if masked:
            mask = os.urandom(4)
            head += mask
            data = bytes(b ^ mask[i % 4] for i, b in enumerate(data))
        self.sock.sendall(head + data)

    def send(self, text):
        self.frame(1, text.encode())

    def receive(self):
        """(opcode, data) of the next frame; pings are answered."""
        first, data = self.next_frame()
        return first & 15, data

    def message(self):
        """The data of the next message, whose frames may be several."""
        first, data = self.next_frame()
        while not first & 0x80:
            first, more = self.next_frame()
            data += more
        return data

    def next_frame(self):
        """(first byte, data); pings are answered."""
        while True:
            first, second = self.take(2)
            n = second & 127
            if n == 126:
                n = struct.unpack(">H", self.take(2))[0]
            elif n == 127:
                n = struct.unpack(">Q", self.take(8))[0]
            data = self.take(n)
            if first & 15 == 9:
                self.frame(10, data)
                continue
            return first, data

    def text(self):
        opcode, data = self.receive()
        assert opcode in (1, 2), (opcode, data)
        return data.decode()

    def closed(self):
        """The code of the close frame; 1006 when there was none."""
        try:
            while True:
                opcode, data = self.receive()
                if opcode == 8:
                    return struct.unpack(">H", data[:2])[0] if len(data) >= 2 else 1005
        except (EOFError, ConnectionError):
            return 1006

    def close(self, code=1000):
        try:
            self.frame(8, struct.pack(">H", code))
            self.closed()
        except OSError:
            pass
        self.sock.close()
