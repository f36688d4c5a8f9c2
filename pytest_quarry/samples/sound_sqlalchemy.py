"""A sound handler over SQLAlchemy: rows and mark in one session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, String, create_engine, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.pool import NullPool

from pytest_quarry.samples.handlers import Notification
from pytest_quarry.samples.reading import Storage
from pytest_quarry.suites import EventBusConformance

if TYPE_CHECKING:
    from pytest_quarry.simulation.world import World


class Base(DeclarativeBase):
    """The mapped classes of this target."""


class Order(Base):
    """One item of one run."""

    __tablename__ = "orders"
    run_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(200), primary_key=True)
    sku: Mapped[str]
    price: Mapped[float]


class LoadedRun(Base):
    """A run whose orders are all there."""

    __tablename__ = "loaded_runs"
    run_id: Mapped[str] = mapped_column(String(200), primary_key=True)


class SqlAlchemyLoader:
    """Adds a run's orders and its mark in one session."""

    def __init__(self, engine: Engine, storage: Storage) -> None:
        self.engine, self.storage = engine, storage

    def handle(self, notification: Notification) -> None:
        """Load the run a notification announces."""
        if notification.get("event_type") != "run_completed" or notification.get("outcome") != "success":
            return
        run_id = notification["run_id"]
        with Session(self.engine) as session, session.begin():
            if session.get(LoadedRun, run_id) is not None:
                return
            for item in self.storage.items(self.storage.announced(notification["storage_path"])):
                session.add(Order(run_id=run_id, event_id=item.event_id, sku=item.sku, price=item.price))
            session.add(LoadedRun(run_id=run_id))


class SqlAlchemySuite(EventBusConformance):
    """SQLAlchemy's ORM, one session per run."""

    def prepare(self, world: World) -> None:
        Base.metadata.create_all(_engine(world))

    def start(self, world: World) -> Any:
        return SqlAlchemyLoader(_engine(world), Storage(world.storage_root))

    def rows(self, world: World) -> list[dict[str, Any]]:
        with Session(_engine(world)) as session:
            found = session.execute(select(Order.run_id, Order.event_id)).all()
        return [{"run_id": run_id, "item": event_id} for run_id, event_id in found]


def _engine(world: World) -> Engine:
    return create_engine(f"sqlite:///{world.disk / 'orders.sqlite'}", poolclass=NullPool)
