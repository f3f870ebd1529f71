"""A client with the stock requests adapter: client.py WALLET NETWORK CURRENCY URL...

Prints a line of JSON for each address: status, body, and what was settled.
"""

import base64
import json
import sys

from farthing_x402 import FarthingClient
from x402 import x402ClientSync
from x402.http.clients.requests import x402_requests

wallet, network, currency, *urls = sys.argv[1:]
client = x402ClientSync()
client.register(network, FarthingClient(wallet, currency))
session = x402_requests(client)
for url in urls:
    answer = session.get(url, timeout=30)
    header = answer.headers.get("PAYMENT-RESPONSE")
    settled = json.loads(base64.b64decode(header)) if header else None
    print(json.dumps({"status": answer.status_code, "body": answer.json(), "settled": settled}), flush=True)
