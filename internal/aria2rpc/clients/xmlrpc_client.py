"""Drives a server by Python's xmlrpc.client: python3 xmlrpc_client.py HOST PORT SECRET FILES"""
import sys
import time
import xmlrpc.client

host, port, secret, files = sys.argv[1:]
token = "token:" + secret
server = xmlrpc.client.ServerProxy("http://%s:%s/rpc" % (host, port))
aria2 = server.aria2


def until(gid, status):
    deadline = time.monotonic() + 20
    while aria2.tellStatus(token, gid, ["status"])["status"] != status:
        assert time.monotonic() < deadline, (gid, status)
        time.sleep(0.05)


assert aria2.getVersion(token)["version"]
done = aria2.addUri(token, [files + "/fast/py-a"], {"out": "py-named"})
until(done, "complete")
assert aria2.getFiles(token, done)[0]["path"].endswith("py-named")
plain = aria2.addUri(token, [files + "/fast/py-c"])
until(plain, "complete")
shown = aria2.tellStatus(token, plain, ["dir", "files"])
# Programs such as aria2p show the path relative to dir as the name.
assert shown["files"][0]["path"] == shown["dir"] + "/py-c", shown
slow = aria2.addUri(token, [files + "/slow/py-b"])
until(slow, "active")
assert aria2.pause(token, slow) == slow
until(slow, "paused")
multi = xmlrpc.client.MultiCall(server)
multi.aria2.tellWaiting(token, 0, 10, ["gid"])
multi.aria2.tellStatus(token, "0123456789abcdef")
results = multi()
assert results[0] == [{"gid": slow}], results[0]
try:
    results[1]
    raise AssertionError("an unknown gid has a status")
except xmlrpc.client.Fault as fault:
    assert fault.faultCode == 1 and "is not found" in fault.faultString, fault
assert aria2.remove(token, slow) == slow
assert aria2.tellWaiting(token, 0, 10) == []
assert aria2.purgeDownloadResult(token) == "OK"
