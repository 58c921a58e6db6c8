"""Lists: order, pages forward and back, and what ends them."""

from typing import Any

from harness.cases import ServerCase, moment


class Pages(ServerCase):
    def walk(self, path: str, key: str = "id", **query: Any) -> list[str]:
        """All keys of a list, page by page forwards; then the same backwards from the end, which must agree."""
        pages: list[dict[str, Any]] = []
        iterator: str | None = None
        while True:
            page = self.ok(self.api.get(path, query={**query, **({"iterator": iterator} if iterator else {})}))
            self.assertLessEqual({"data", "iterator", "done"}, set(page))
            pages.append(page)
            if page["data"]:
                self.assertEqual(page["prevIterator"].lstrip("-"), page["prevIterator"][1:])
            if page["done"] or len(pages) > 200:
                break
            self.assertTrue(page["data"], "a page that is not the last has data")
            iterator = page["iterator"]
        self.assertTrue(pages[-1]["done"])
        forwards = [item[key] for page in pages for item in page["data"]]

        backwards: list[str] = []
        last_full = next(page for page in reversed(pages) if page["data"])
        backwards = [item[key] for item in last_full["data"]]
        cursor = last_full["prevIterator"]
        while True:
            page = self.ok(self.api.get(path, query={**query, "iterator": cursor}))
            backwards = [item[key] for item in page["data"]] + backwards
            if page["done"] or not page["data"]:
                break
            cursor = page["prevIterator"]
        self.assertEqual(backwards, forwards)
        self.assertEqual(len(set(forwards)), len(forwards), "no row comes twice")
        return forwards

    def test_applications_ascend(self) -> None:
        made = [self.app() for _ in range(7)]
        ascending = self.walk("/app", limit=3)
        self.assertEqual([app for app in ascending if app in made], made)
        self.assertEqual(self.walk("/app", limit=3, order="descending"), ascending[::-1])

    def test_endpoints_descend(self) -> None:
        app = self.app()
        made = [self.endpoint(app)["id"] for _ in range(7)]
        self.assertEqual(self.walk(f"/app/{app}/endpoint", limit=2), made[::-1])
        self.assertEqual(self.walk(f"/app/{app}/endpoint", limit=7, order="ascending"), made)

    def test_event_types_go_by_name(self) -> None:
        for name in ("b.two", "a.one", "c.three", "a.zero"):
            self.ok(self.api.post("/event-type", {"name": name, "description": ""}), 201)
        names = self.walk("/event-type", "name", limit=2)
        self.assertEqual(names, sorted(names))

    def test_messages_newest_first_and_in_order_of_creation(self) -> None:
        app = self.app()
        made = [self.send(app, {"n": n}) for n in range(60)]
        self.assertEqual(self.walk(f"/app/{app}/msg", limit=7), made[::-1])
        self.assertEqual(made, sorted(made), "ids are strictly increasing")

    def test_message_filters(self) -> None:
        app = self.app()
        one = self.send(app, event_type="one", channels=["left"], tags=["t1"])
        two = self.send(app, event_type="two", channels=["right"])
        three = self.send(app, event_type="three")
        path = f"/app/{app}/msg"
        for query, expected in (
            ({"event_types": "one,two"}, [two, one]),
            ({"channel": "left"}, [one]),
            ({"tag": "t1"}, [one]),
            ({"before": moment(minutes=1)}, [three, two, one]),
            ({"after": moment(minutes=-1)}, [three, two, one]),
            ({"before": moment(minutes=-1)}, []),
            ({"after": moment(minutes=1)}, []),
        ):
            with self.subTest(str(query)):
                found = self.ok(self.api.get(path, query=query))
                self.assertEqual([message["id"] for message in found["data"]], expected)
        repeated = self.ok(self.api.get(path, query=[("event_types[]", "one"), ("event_types[]", "three")]))
        self.assertEqual([message["id"] for message in repeated["data"]], [three, one])

    def test_an_empty_list(self) -> None:
        page = self.ok(self.api.get(f"/app/{self.app()}/msg"))
        self.assertEqual((page["data"], page["iterator"], page["done"]), ([], None, True))

    def test_attempts_of_an_endpoint(self) -> None:
        app = self.app()
        endpoint = self.endpoint(app)
        messages = [self.send(app) for _ in range(9)]
        for message in messages:
            self.attempts(app, message)
        found = self.walk(f"/app/{app}/attempt/endpoint/{endpoint['id']}", limit=4)
        self.assertEqual(len(found), 9)
        attempted = self.walk(f"/app/{app}/endpoint/{endpoint['id']}/msg", limit=4)
        self.assertEqual(set(attempted), set(messages))

    def test_destinations_of_a_message_are_all_there(self) -> None:
        app = self.app()
        endpoints = {self.endpoint(app)["id"] for _ in range(5)}
        message = self.send(app)
        self.attempts(app, message, 5)
        self.assertEqual(set(self.walk(f"/app/{app}/msg/{message}/endpoint", limit=2)), endpoints)

    def test_content_on_request(self) -> None:
        app = self.app()
        message = self.send(app, {"big": True})
        without = self.ok(self.api.get(f"/app/{app}/msg", query={"with_content": "false"}))["data"][0]
        self.assertEqual(without["payload"], {})
        self.assertEqual(self.ok(self.api.get(f"/app/{app}/msg/{message}"))["payload"], {"big": True})

    def test_a_cursor_whose_row_is_gone_still_works(self) -> None:
        app = self.app()
        made = [self.endpoint(app)["id"] for _ in range(4)]
        page = self.ok(self.api.get(f"/app/{app}/endpoint", query={"limit": 2}))
        self.ok(self.api.delete(f"/app/{app}/endpoint/{page['iterator']}"), 204)
        rest = self.ok(self.api.get(f"/app/{app}/endpoint", query={"limit": 2, "iterator": page["iterator"]}))
        self.assertEqual([endpoint["id"] for endpoint in rest["data"]], [made[1], made[0]])

    def test_another_lists_cursor(self) -> None:
        self.is_invalid(self.api.get("/app", query={"iterator": self.send(self.app())}), "query", "iterator")
