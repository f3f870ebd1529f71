"""A shop with the stock flask middleware: server.py FACILITATOR NETWORK CURRENCY PAY_TO PASS"""

import sys

from farthing_x402 import SCHEME, FarthingServer
from flask import Flask, jsonify
from werkzeug.serving import make_server
from x402 import x402ResourceServerSync
from x402.http import HTTPFacilitatorClientSync
from x402.http.middleware.flask import PaymentMiddleware

facilitator, network, currency, pay_to, _ = sys.argv[1:]
x402 = x402ResourceServerSync(HTTPFacilitatorClientSync({"url": facilitator}))
x402.register(network, FarthingServer(currency))
priced = {
    "scheme": SCHEME,
    "network": network,
    "price": "$0.0003",
    "payTo": pay_to,
    "maxTimeoutSeconds": 60,
    "extra": {"item": "weather"},
}
app = Flask(__name__)


@app.get("/weather")
def weather():
    return jsonify(weather="fair")


PaymentMiddleware(app, {"GET /weather": {"accepts": priced}}, x402)
server = make_server("127.0.0.1", 0, app, threaded=True)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
server.serve_forever()
