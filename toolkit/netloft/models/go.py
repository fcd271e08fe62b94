"""Go positions as AlphaGo's 48 feature planes, from games that a random player plays.

Source: Silver et al., Nature 529, 2016, Extended Data Table 2. The two ladder planes stay zero:
random games hardly have ladders, and reading one out takes a search.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import numpy as np
import torch

__all__ = ["Game", "positions"]

SIZE = 19
POINTS = SIZE * SIZE
EMPTY, BLACK, WHITE = 0, 1, -1
_MOVES = (20, 160)
# First plane of each feature; those of eight planes count 1, 2, … 8 or more.
_STONES, _ONES, _TURNS, _LIBERTIES, _CAPTURES, _SELF_ATARI, _AFTER = 0, 3, 4, 12, 20, 28, 36
_SENSIBLE = 46


def _neighbours(point: int) -> tuple[int, ...]:
    row, column = divmod(point, SIZE)
    around = ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
    return tuple(r * SIZE + c for r, c in around if 0 <= r < SIZE and 0 <= c < SIZE)


NEIGHBOURS = tuple(_neighbours(point) for point in range(POINTS))


class Game:
    """A board of 361 points, row by row, and whose turn it is."""

    def __init__(self) -> None:
        self.board = [EMPTY] * POINTS
        self.played_at = [-1] * POINTS
        self.moves = 0
        self.colour = BLACK
        self._ko = -1

    def group(self, board: list[int], point: int) -> tuple[set[int], set[int]]:
        """Return the stones connected to the one at `point`, and their liberties."""
        stones, liberties, open_ = {point}, set[int](), [point]
        while open_:
            for near in NEIGHBOURS[open_.pop()]:
                if board[near] == EMPTY:
                    liberties.add(near)
                elif board[near] == board[point] and near not in stones:
                    stones.add(near)
                    open_.append(near)
        return stones, liberties

    def after(self, point: int) -> tuple[list[int], set[int]] | None:
        """Return the board after a move and what it captures; None where it is not legal."""
        if self.board[point] != EMPTY or point == self._ko:
            return None
        board = self.board.copy()
        board[point] = self.colour
        captured: set[int] = set()
        for near in NEIGHBOURS[point]:
            if board[near] == -self.colour:
                stones, liberties = self.group(board, near)
                if not liberties:
                    captured |= stones
        for stone in captured:
            board[stone] = EMPTY
        return (board, captured) if captured or self.group(board, point)[1] else None

    def is_own_eye(self, point: int) -> bool:
        """Tell whether all neighbours are the player's own stones; filling that is senseless."""
        return all(self.board[near] == self.colour for near in NEIGHBOURS[point])

    def play(self, point: int) -> bool:
        """Move, if it is legal; say whether it was."""
        result = self.after(point)
        if result is None:
            return False
        self.board, captured = result
        alone = len(captured) == 1 and len(self.group(self.board, point)[0]) == 1
        self._ko = captured.pop() if alone else -1
        self.played_at[point] = self.moves
        self.moves += 1
        self.colour = -self.colour
        return True

    def planes(self) -> torch.Tensor:
        """Return the 48 binary planes, (48, 19, 19), as the player to move sees the board."""
        flat = np.zeros((48, POINTS), dtype=np.float32)
        flat[_ONES] = 1
        for point in range(POINTS):
            for plane in self._features(point):
                flat[plane, point] = 1
        return torch.from_numpy(flat.reshape(48, SIZE, SIZE))

    def _features(self, point: int) -> Iterator[int]:
        stone = self.board[point]
        yield _STONES + (2 if stone == EMPTY else 0 if stone == self.colour else 1)
        if stone != EMPTY:
            yield _TURNS + min(self.moves - self.played_at[point], 8) - 1
            yield _LIBERTIES + min(len(self.group(self.board, point)[1]), 8) - 1
            return
        result = self.after(point)
        if result is None:
            return
        board, captured = result
        stones, liberties = self.group(board, point)
        yield _CAPTURES + min(len(captured), 7)
        yield _AFTER + min(len(liberties), 8) - 1
        if len(liberties) == 1:
            yield _SELF_ATARI + min(len(stones), 8) - 1
        if not self.is_own_eye(point):
            yield _SENSIBLE


def positions(batch: int, seed: int) -> torch.Tensor:
    """Return positions of as many games, (batch, 48, 19, 19), all 0 or 1."""
    dice = random.Random(seed)
    return torch.stack([_random_game(dice).planes() for _ in range(batch)])


def _random_game(dice: random.Random) -> Game:
    game, goal = Game(), dice.randint(*_MOVES)
    for _ in range(4 * goal):  # some tries are not legal
        point = dice.randrange(POINTS)
        if not game.is_own_eye(point):
            game.play(point)
        if game.moves >= goal:
            break
    return game
