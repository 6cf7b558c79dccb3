-- Only rows that are as the change has left them go back; what others have changed since stays, and so does the term if
-- they use it by now.
update suppliers
set term = (select b.term from suppliers_chg0045010 b where b.id = suppliers.id)
where term = 'NET60' and id in (select id from suppliers_chg0045010);

drop view if exists suppliers_paid_late;

delete from payment_terms where code = 'NET60' and not exists (select 1 from suppliers where term = 'NET60');
