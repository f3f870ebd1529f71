"""farthing for stock x402 software in Python: one scheme for servers, one for clients.

A server registers FarthingServer beside its facilitator, the bank. A client registers
FarthingClient, which asks a wallet on this machine for each payment: a wallet holds keys and
limits, and this file neither.
"""

from decimal import Decimal

import requests
from x402.schemas import AssetAmount

SCHEME = "batch-settlement"
MICROS = 6


class FarthingServer:
    scheme = SCHEME
    default_asset_transfer_method = "default"
    payment_flows = {"default": {"supported": ["authorization"], "default": "authorization"}}

    def __init__(self, currency):
        self.currency = currency

    def parse_price(self, price, network):
        if isinstance(price, AssetAmount):
            return price
        millionths = Decimal(str(price).strip().removeprefix("$")).scaleb(MICROS)
        if millionths != millionths.to_integral_value() or millionths < 0:
            raise ValueError(f"not a price: {price}")
        return AssetAmount(amount=str(int(millionths)), asset=self.currency)

    def get_asset_decimals(self, asset, network):
        return MICROS if asset == self.currency else None

    def enhance_payment_requirements(self, requirements, supported_kind, extensions):
        requirements.extra = {**(supported_kind.extra or {}), **(requirements.extra or {})}
        return requirements


class FarthingClient:
    scheme = SCHEME

    def __init__(self, wallet, currency):
        self.wallet = wallet
        self.currency = currency

    def find_default_asset(self, asset, network):
        """Makes the stock client's own cap on a payment (1.00 if nobody sets another) count."""
        return {"asset": asset, "decimals": MICROS, "symbol": asset} if asset == self.currency else None

    def create_payment_payload(self, requirements, context=None):
        wanted = requirements.model_dump(by_alias=True)
        answer = requests.post(f"{self.wallet}/pay", json=wanted, timeout=30)
        answer.raise_for_status()
        return answer.json()
