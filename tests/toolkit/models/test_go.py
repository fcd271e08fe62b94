from __future__ import annotations

import torch

from netloft.models.go import BLACK, EMPTY, SIZE, WHITE, Game, positions


def play(*moves: tuple[int, int] | None) -> Game:
    game = Game()
    for move in moves:
        if move is None:  # pass
            game.colour = -game.colour
        else:
            assert game.play(move[0] * SIZE + move[1])
    return game


def test_captures_a_stone_in_the_corner() -> None:
    game = play((0, 1), (0, 0), (1, 0))
    assert game.board[0] == EMPTY
    assert game.board[1] == BLACK


def test_suicide_is_illegal() -> None:
    game = play((0, 1), None, (1, 0))
    assert game.colour == WHITE
    assert not game.play(0)


def test_a_ko_cannot_be_retaken_at_once() -> None:
    game = play((0, 1), (0, 2), (1, 0), (1, 3), (2, 1), (2, 2), (1, 2), (1, 1))
    assert game.board[1 * SIZE + 2] == EMPTY  # white took it
    assert not game.play(1 * SIZE + 2)


def test_planes_describe_the_board() -> None:
    planes = play((0, 0), (5, 5), (0, 1)).planes()  # white to move
    assert planes[0].nonzero().tolist() == [[5, 5]]
    assert planes[1].nonzero().tolist() == [[0, 0], [0, 1]]
    assert planes[2].sum() == 361 - 3
    assert planes[3].sum() == 361
    assert planes[4, 0, 1] == 1  # played one turn ago
    assert planes[6, 0, 0] == 1  # three turns ago
    assert planes[12 + 2, 0, 0] == 1  # the two black stones have three liberties
    assert planes[12 + 3, 5, 5] == 1  # a lone stone in the open has four
    assert planes[47].sum() == 0


def test_positions_are_binary_and_seeded() -> None:
    first, again, other = (positions(2, seed) for seed in (0, 0, 1))
    assert first.shape == (2, 48, 19, 19)
    assert set(first.flatten().tolist()) == {0.0, 1.0}
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(first[:, 0] + first[:, 1] + first[:, 2], torch.ones(2, 19, 19))
