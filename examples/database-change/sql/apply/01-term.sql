insert into payment_terms (code, days) values ('NET60', 60);

create view suppliers_paid_late as
select s.id, s.name, s.term, t.days from suppliers s join payment_terms t on t.code = s.term where t.days > 60;
