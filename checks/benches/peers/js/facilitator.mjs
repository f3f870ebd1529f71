// Stock x402 facilitator, its chain replaced by answers that are always yes: node facilitator.mjs PORT
import express from "express";
import { x402Facilitator } from "@x402/core/facilitator";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/facilitator";
import { computeChannelId } from "@x402/evm/batch-settlement/client";
import { privateKeyToAccount, generatePrivateKey } from "viem/accounts";
import { verifyTypedData } from "viem";

const account = privateKeyToAccount(generatePrivateKey());
const USDC = "0x036cbd53842c5426634e7929541ec2318f3dcf7e";
const PLENTY = 10n ** 18n;
// What was deposited in each channel.
const channels = new Map();
const hex = (...words) => `0x${words.map((n) => n.toString(16).padStart(64, "0")).join("")}`;
const word = (call) =>
  call.startsWith("0x7a7ebd7b") ? hex(channels.get(`0x${call.slice(10)}`) ?? 0n, 0n) : call.startsWith("0x70a08231") ? hex(PLENTY) : hex(0n, 0n);
const chain = {
  getAddresses: () => [account.address],
  address: account.address,
  readContract: async ({ functionName, args }) => {
    if (functionName === "authorizationState") return false;
    if (functionName === "name") return "USDC";
    if (functionName === "version") return "2";
    if (functionName === "channels") return [channels.get(args[0]) ?? 0n, 0n];
    if (functionName === "tryAggregate") return args[1].map(({ callData }) => ({ success: true, returnData: word(callData) }));
    if (functionName === "balanceOf") return PLENTY;
    return 0n;
  },
  verifyTypedData: (args) => verifyTypedData(args),
  signTypedData: (args) => account.signTypedData(args),
  writeContract: async ({ functionName, args }) => {
    if (functionName === "deposit") {
      const id = computeChannelId(args[0], "eip155:84532");
      channels.set(id, (channels.get(id) ?? 0n) + args[1]);
    }
    return `0x${"11".repeat(32)}`;
  },
  sendTransaction: async () => `0x${"11".repeat(32)}`,
  waitForTransactionReceipt: async () => ({ status: "success" }),
  getCode: async ({ address }) => (address.toLowerCase() === USDC ? "0x60" : undefined),
};
const facilitator = new x402Facilitator()
  .register("eip155:84532", new ExactEvmScheme(chain))
  .register("eip155:84532", new BatchSettlementEvmScheme(chain, chain));
const app = express();
app.use(express.json({ limit: "1mb" }));
const answer = (work) => async (req, res) => {
  try { res.json(await work(req.body)); } catch (why) { if (process.env.TRACE) console.error(why); res.status(500).json({ error: String(why) }); }
};
app.get("/supported", answer(async () => facilitator.getSupported()));
app.post("/verify", answer((b) => facilitator.verify(b.paymentPayload, b.paymentRequirements).then((r) => { if (process.env.TRACE && !r.isValid) console.error(r); return r; })));
app.post("/settle", answer((b) => facilitator.settle(b.paymentPayload, b.paymentRequirements)));
const listening = app.listen(Number(process.argv[2] ?? 0), "127.0.0.1", () => console.log(listening.address().port));
