"""A proxy that lets nothing through and writes down what was asked for.

python no_network.py PORT_FILE LOG_FILE       serves until it is killed
"""

import socketserver
import sys
from pathlib import Path

port_file, log_file = map(Path, sys.argv[1:])


class Refuse(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        asked = self.rfile.readline(1000).decode("latin-1").strip()
        with log_file.open("a") as log:
            print(asked, file=log)
        self.wfile.write(b"HTTP/1.0 403 Forbidden\r\n\r\n")


log_file.touch()
with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuse) as server:
    port_file.write_text(str(server.server_address[1]))
    server.serve_forever()
