"""Of many who claim one thing at once exactly one wins, in one process or in several, on both databases."""

from tests.store.racing import CLAIMS, PROCESSES, THREADS, raced


def test_one_winner_among_processes(url: str) -> None:
    found = raced(url)
    assert found.keys() == CLAIMS.keys()
    for name, answers in found.items():
        assert len(answers) == PROCESSES * THREADS, name
        assert sum(won for _, won in answers) == 1, name
        assert len({told for told, _ in answers}) == 1, name
