"""Takes a package the whole way with Oracle's Python SDK: upload, result, invocation."""

import json
import sys
import time

import oci

config_file, endpoint, namespace, function_id, package = sys.argv[1:]
config = oci.config.from_file(config_file)
storage = oci.object_storage.ObjectStorageClient(config, service_endpoint=endpoint)
assert storage.get_namespace().data == namespace
with open(package, "rb") as body:
    storage.put_object(namespace, "cemli-packages", "python/sample-1.0.0.zip", body)

end = time.time() + 60
while True:
    found = storage.list_objects(namespace, "cemli-results", prefix="runs/", fields="name,size").data.objects
    results = [o.name for o in found if o.name.endswith("/result.json")]
    if results:
        break
    assert time.time() < end, "no result came"
    time.sleep(0.05)

result = json.loads(storage.get_object(namespace, "cemli-results", results[0]).data.content)
print(result["status"] + ": " + result["execution"]["stdout"].strip())

try:
    storage.get_object(namespace, "cemli-results", "none")
    raise AssertionError("an object that is not there was read")
except oci.exceptions.ServiceError as error:
    assert (error.status, error.code) == (404, "ObjectNotFound"), error

invoke = oci.functions.FunctionsInvokeClient(config, service_endpoint=endpoint)
answer = invoke.invoke_function(function_id, invoke_function_body=json.dumps({"object": "python/sample-1.0.0.zip"}))
print("invoked: " + json.loads(answer.data.text)["status"])
