// farthing for stock x402 software: one scheme for servers, one for clients.
//
// A server registers FarthingServer beside its facilitator, the bank. A client registers
// FarthingClient, which asks a wallet on this machine for each payment: a wallet holds keys and
// limits, and this file neither.

export const SCHEME = "batch-settlement";

const MICROS = 6;

/** Millionths, from "$0.10", "0.10" or 0.1. */
export function micros(price) {
  const text = String(price).trim().replace(/^\$/, "");
  const parts = /^(\d{1,12})(?:\.(\d{1,6}))?$/.exec(text);
  if (!parts) throw new Error(`not a price: ${price}`);
  return (BigInt(parts[1]) * 10n ** BigInt(MICROS) + BigInt((parts[2] ?? "").padEnd(MICROS, "0"))).toString();
}

/** What a server needs: prices in the bank's currency, and what its facilitator says of itself.
 *  With the facilitator at hand (and a pass, see there), payments for answers that failed are let go
 *  at once; without, they are good again when their time is over. */
export class FarthingServer {
  scheme = SCHEME;
  defaultAssetTransferMethod = "default";
  paymentFlows = { default: { supported: ["authorization"], default: "authorization" } };

  constructor(currency, facilitator) {
    this.currency = currency;
    this.schemeHooks = facilitator && {
      // To settle for nothing is to let go.
      onVerifiedPaymentCanceled: async ({ paymentPayload, requirements }) => {
        await facilitator.settle(paymentPayload, { ...requirements, amount: "0" });
      },
    };
  }

  async parsePrice(price) {
    if (typeof price === "object") return price;
    return { amount: micros(price), asset: this.currency };
  }

  getAssetDecimals(asset) {
    return asset === this.currency ? MICROS : undefined;
  }

  async enhancePaymentRequirements(requirements, kind) {
    return { ...requirements, extra: { ...kind.extra, ...requirements.extra } };
  }
}

/** What a client needs: the address of its wallet, and the currency it pays in. */
export class FarthingClient {
  scheme = SCHEME;

  constructor(wallet, currency) {
    this.wallet = wallet;
    this.currency = currency;
  }

  /** Makes the stock client's own cap on a payment (1.00 if nobody sets another) count for farthing. */
  findDefaultAsset(asset) {
    return asset === this.currency ? { asset, decimals: MICROS, symbol: asset } : undefined;
  }

  async createPaymentPayload(x402Version, requirements) {
    return { x402Version, payload: await this.ask("/pay", requirements) };
  }

  /** Tells the wallet what the server acknowledged; it checks that, and uses again what was not used. */
  async onResponse(settled) {
    return this.ask("/response", settled);
  }

  async ask(path, body) {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(this.wallet + path, { method: "POST", headers, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
  }
}
