// Takes a package the whole way with Oracle's TypeScript SDK: upload, result, invocation.
const fs = require("fs");
const common = require("oci-common");
const objectstorage = require("oci-objectstorage");
const functions = require("oci-functions");

async function text(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks).toString("utf8");
}

async function main([configFile, endpoint, namespaceName, functionId, file]) {
  const authenticationDetailsProvider = new common.ConfigFileAuthenticationDetailsProvider(configFile);
  const storage = new objectstorage.ObjectStorageClient({ authenticationDetailsProvider });
  storage.endpoint = endpoint;
  const namespace = await storage.getNamespace({});
  if (namespace.value !== namespaceName) throw new Error("namespace " + namespace.value);
  await storage.putObject({
    namespaceName, bucketName: "cemli-packages", objectName: "node/sample-1.0.0.zip",
    contentLength: fs.statSync(file).size, putObjectBody: fs.createReadStream(file),
  });
  let results = [];
  for (const end = Date.now() + 60000; results.length === 0; await new Promise((done) => setTimeout(done, 50))) {
    if (Date.now() > end) throw new Error("no result came");
    const list = await storage.listObjects({ namespaceName, bucketName: "cemli-results", prefix: "runs/" });
    results = list.listObjects.objects.filter((o) => o.name.endsWith("/result.json"));
  }
  const object = await storage.getObject({ namespaceName, bucketName: "cemli-results", objectName: results[0].name });
  const result = JSON.parse(await text(object.value));
  console.log(result.status + ": " + result.execution.stdout.trim());

  const invoke = new functions.FunctionsInvokeClient({ authenticationDetailsProvider });
  invoke.endpoint = endpoint;
  const answer = await invoke.invokeFunction({
    functionId, invokeFunctionBody: JSON.stringify({ object: "node/sample-1.0.0.zip" }),
  });
  console.log("invoked: " + JSON.parse(await text(answer.value)).status);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error);
  process.exit(1);
});
