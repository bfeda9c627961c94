// What the gRPC scripts share.
import grpc from "@grpc/grpc-js";
import loader from "@grpc/proto-loader";

const options = { keepCase: true, defaults: true, enums: String, longs: Number, arrays: true };

export function load(root, file) {
  return grpc.loadPackageDefinition(loader.loadSync(file, { ...options, includeDirs: [root] }));
}

export function inference(target, root, credentials, channel = {}) {
  return new (load(root, "conclave/v1/inference.proto").conclave.v1.Inference)(target, credentials, channel);
}

// All messages of a stream, and how it ended.
export function drain(call) {
  return new Promise((resolve) => {
    const got = [];
    call.on("data", (message) => got.push(message));
    call.on("error", (error) => resolve({ got, error: { code: error.code, details: error.details } }));
    call.on("end", () => resolve({ got }));
  });
}

export function unary(client, method, request, metadata = new grpc.Metadata(), callOptions = {}) {
  return new Promise((resolve) => client[method](request, metadata, callOptions, (error, answer) => resolve({ error: error && { code: error.code, details: error.details }, answer })));
}
