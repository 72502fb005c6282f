"""Drives a server by aria2p: python3 aria2p_story.py HOST PORT SECRET FILES"""
import sys
import time

import aria2p

host, port, secret, files = sys.argv[1:]
api = aria2p.API(aria2p.Client(host="http://" + host, port=int(port), secret=secret))


def until(download, status):
    deadline = time.monotonic() + 20
    while True:
        download.update()
        if download.status == status:
            return
        assert time.monotonic() < deadline, (download.gid, download.status, status)
        time.sleep(0.05)


done = api.add_uris([files + "/fast/p-a"])
until(done, "complete")
assert done.name == "p-a", done.name
assert done.is_complete and done.progress == 100 and done.completed_length == done.total_length > 0
assert done.files[0].completed_length == done.total_length

slow = api.add_uris([files + "/slow/p-b"])
until(slow, "active")
assert api.pause([slow]) == [True]
until(slow, "paused")
assert slow.is_paused and slow.options.dir

held = api.add_uris([files + "/fast/p-c"], {"pause": "true", "out": "p-named"})
held.update()
assert held.is_paused and held.name == "p-named", held.name
assert api.move_to_top(held) == 0
assert [d.gid for d in api.get_downloads() if d.is_paused] == [held.gid, slow.gid]
held.options.max_download_limit = 1 << 20
assert held.options.max_download_limit == 1 << 20, held.options.max_download_limit
assert api.resume([held]) == [True]
until(held, "complete")

broken = api.add_uris([files + "/absent/p-d"])
until(broken, "error")
assert broken.error_code == "3" and broken.error_message, (broken.error_code, broken.error_message)
again = api.retry_downloads([broken])
assert again == [True], again

magnet = api.add_magnet("magnet:?xt=urn:btih:" + "7" * 40 + "&dn=p-e", {"pause": "true"})
assert magnet.name == "[METADATA]p-e", magnet.name
stats = api.get_stats()
assert stats.num_stopped >= 2 and stats.num_waiting >= 2, (stats.num_stopped, stats.num_waiting)
assert all(r is True for r in api.remove([slow, magnet], force=True))
assert api.purge()
for download in api.get_downloads():
    assert download.status in ("active", "waiting", "error"), download.status
assert api.client.multicall2([(api.client.GET_VERSION, []), (api.client.GET_GLOBAL_STAT, [])], insert_secret=True)
