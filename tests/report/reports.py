"""Reports of small stores, and a parser of their pages."""

from html.parser import HTMLParser
from itertools import product

from asyncrl.analysis.selection import Selection
from asyncrl.report.gather import Request, gather
from asyncrl.report.publish import publish
from tests.analysis.stores import straight, write


def make(root, **more):
    selection = {name: more.pop(name) for name in ("names", "where", "compare") if name in more}
    report = gather(Request(Selection(root, **selection), root / "report", **more))
    return report, publish(report).read_text(encoding="utf-8")


def fill(root):
    """Write runs for every section: games, algorithms, threads, seeds, rates and optimisers."""
    for algo, threads, seed in product(("a3c", "n-step-q"), (1, 2), (1, 2)):
        name = f"{algo}-{threads}-{seed}"
        write(
            root, name, straight(-20, seed), fps=100.0 * threads, frames=400_000, algo=algo, threads=threads, seed=seed
        )
    write(root, "cart", straight(9, 99), env="CartPole-v1", protocol="gymnasium", frames=400_000, fps=200.0)
    for lr in (1e-4, 1e-3):
        write(root, f"lr-{lr}", straight(-20, 1), lr=lr, frames=400_000, fps=200.0)
    write(root, "momentum", straight(-20, 1), optimizer="momentum", frames=400_000, fps=200.0)


class Page(HTMLParser):
    """What a page consists of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.ids, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        values = dict(attrs)
        self.ids += [values["id"]] if "id" in values else []
        self.links += [value for name, value in attrs if name in ("href", "src", "xlink:href") and value]
